"""What any number of processes saved under any strategy goes on under any other, as if nobody had stopped it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.checkpoints.sharded.jobs import END, SAVED_AT, STRATEGIES, Model, loader, make_trainer, strategy
from tests.trainer.checkpoints.sharded.together import job_server, run
from trainer.checkpoints import load_checkpoint

CROSSED = {
    1: [["plain", "fsdp-4"], ["plain", "fsdp-hybrid-4"], ["fsdp", "plain-4"], ["fsdp", "file-2"], ["plain", "mesh-4"],
        ["plain", "zero-2"]],
    2: [["plain", "fsdp-hybrid-4"], ["fsdp", "plain-1"], ["fsdp-hybrid", "file-1"], ["plain", "fsdp-1"],
        ["mesh", "mesh-4"], ["fsdp", "mesh-2"], ["zero", "zero-4"]],
    4: [["fsdp", "fsdp-hybrid-2"], ["fsdp-hybrid", "plain-1"], ["mesh", "mesh-2"], ["zero", "plain-1"]],
}  # fmt: skip
TOLERANCE = 1e-6
pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]


@pytest.mark.parametrize("worlds", [(1, 2), pytest.param((1, 2, 4), marks=pytest.mark.soak)])
def test_all_pairs_of_three_strategies_go_on_as_if_nobody_had_stopped_them(
    worlds: tuple[int, ...], tmp_path: Path
) -> None:
    crossed = {world: [way for way in CROSSED[world] if int(way[1].rpartition("-")[2]) in worlds] for world in worlds}
    with job_server() as server:
        saved = {world: run(server, "save_all", world, tmp_path) for world in worlds}
        loaded = {
            world: run(server, "load_all", world, tmp_path, worlds=list(worlds), crossed=crossed[world])
            for world in worlds
        }
    straight = saved[1][0]["plain"]
    assert len(straight["losses"]) == END
    for world in worlds:
        for rank in saved[world]:
            for name in STRATEGIES:  # nobody was disturbed by saving
                assert rank[name]["losses"] == pytest.approx(straight["losses"], abs=TOLERANCE), (name, world)
    pairs = 0
    for world, ranks in loaded.items():
        for number, rank in enumerate(ranks):
            for way, found in rank.items():
                pairs += number == 0
                source, _, before = way.rpartition(" ")[2].rpartition("-")
                then = saved[int(before)] if source != "file" else None
                assert found["losses"] == pytest.approx(straight["losses"][SAVED_AT:], abs=TOLERANCE), (way, world)
                assert found["samples"] == straight["samples"][SAVED_AT:], (way, world)
                for exact in ("step", "batch", "scale", "growth", "rate", "seen"):
                    assert found[exact] == straight[exact], (exact, way, world)
                if then is not None and number < len(then) and "mesh" not in way:  # its groups share their generators
                    assert found["rng"] == then[number][source]["rng"], (way, world)
    assert pairs == 3 * len(worlds) ** 2 + sum(map(len, crossed.values()))
    first = load_checkpoint(tmp_path / "plain-1.ckpt")
    most = worlds[-1]
    for one, others in {
        "plain-1": (f"fsdp-{most}", "fsdp-hybrid-2"),
        "again-1-plain-plain-1": (
            f"again-2-fsdp-fsdp-{most}",
            f"again-{most}-fsdp-hybrid-{'plain' if most == 4 else 'file'}-1",
        ),
    }.items():
        straight_on = load_checkpoint(tmp_path / f"{one}.ckpt")
        for folder in others:
            other = load_checkpoint(tmp_path / f"{folder}.ckpt")
            assert close(straight_on["state_dict"], other["state_dict"]), folder
            assert close(straight_on["optimizer_states"], other["optimizer_states"]), folder
    model = Model.load_from_checkpoint(tmp_path / f"fsdp-{most}.ckpt")
    assert close(model.state_dict(), first["state_dict"])
    alone = make_trainer(tmp_path, 1, strategy("plain", 1))
    [from_folder] = alone.validate(Model(), loader(1), ckpt_path=tmp_path / f"fsdp-{most}.ckpt", verbose=False)
    [from_weights] = alone.validate(model, loader(1), verbose=False)
    assert from_folder == pytest.approx(from_weights, abs=TOLERANCE)


def close(one: Any, other: Any) -> bool:
    """Return whether two nested states are the same but for rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(close(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return type(one) is type(other) and torch.allclose(one, other, rtol=0, atol=1e-5)
    return bool(one == other)
