"""Pipelines: how models and batches are divided, the numbers of one process, checkpoints, and what is refused."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import trainer as L
from tests.trainer.scripts import run_script
from tests.trainer.strategies import pipe_jobs
from tests.trainer.strategies.parity_jobs import data
from tests.trainer.strategies.parity_pipe import Masked, Piped
from trainer.errors import MisconfigurationException
from trainer.metrics.store import MetricStore
from trainer.strategies import PipelineStrategy
from trainer.strategies.pipeline.layers import even_starts, find_layers, leave_elsewhere, starts_of_stages
from trainer.strategies.pipeline.line import SCHEDULES, check_microbatches
from trainer.strategies.pipeline.microbatches import (
    join_outputs,
    largest_divisor,
    signature,
    split_arguments,
    split_batch,
)
from trainer.strategies.pipeline.records import Records
from trainer.strategies.pipeline.states import fitting_optimizer_state, fitting_weights

ROOT = Path(__file__).parents[3]
JOBS = Path(__file__).with_name("pipe_jobs.py")
TOLERANCE = 1e-5


# Models


@pytest.mark.parametrize(
    ("sizes", "stages", "starts"),
    [
        ([1, 1, 1, 1], 2, [0, 2]),
        ([9, 1, 1, 1], 2, [0, 1]),
        ([1, 1, 1, 9], 2, [0, 3]),
        ([0, 5, 0, 5, 0, 5], 3, [0, 2, 4]),
        ([3], 1, [0]),
    ],
)
def test_the_largest_stage_is_as_small_as_can_be(sizes: list[int], stages: int, starts: list[int]) -> None:
    found = even_starts(sizes, stages)
    ends = [*found[1:], len(sizes)]
    wanted = [*starts[1:], len(sizes)]
    assert len(found) == stages
    assert all(start < end for start, end in zip(found, ends, strict=True))
    assert max(sum(sizes[a:b]) for a, b in zip(found, ends, strict=True)) == max(
        sum(sizes[a:b]) for a, b in zip(starts, wanted, strict=True)
    )


def test_layers_are_found_in_a_sequence_or_where_the_model_says_so() -> None:
    chain = Piped("chain", "adam")
    assert find_layers(chain, None).names == tuple(f"net.{n}" for n in range(8))
    assert find_layers(chain, None).owner is chain.net
    masked = Piped("masked", "adam")
    assert find_layers(masked, None).names == ("net.entry", "net.gates.0", "net.gates.1", "net.gates.2", "net.leave")
    assert starts_of_stages(find_layers(masked, None), 3, ["net.gates.1", "net.leave"]) == [0, 2, 4]


class Several(L.LightningModule):
    """Two sequences, and a part of one that cannot be cut out."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Sequential(nn.Linear(1, 1)), nn.Sequential(nn.Linear(1, 1))
        self.two.requires_grad_(False)


def test_frozen_parts_stay_outside() -> None:
    assert find_layers(Several(), None).names == ("one.0",)
    with pytest.raises(MisconfigurationException, match=r"Parameters are outside.*'one.0.weight'"):
        find_layers(Several(), "two")


def test_what_is_elsewhere_keeps_its_place_and_no_element() -> None:
    module = Masked()
    names, dimensions = list(module.state_dict()), [value.dim() for value in module.parameters()]
    layers = find_layers(module, None)
    leave_elsewhere(layers, [0, 1])
    assert list(module.state_dict()) == names
    assert [value.dim() for value in module.parameters()] == dimensions
    kept = sum(p.numel() for layer in (module.entry, module.gates[0]) for p in layer.parameters())
    assert sum(p.numel() for p in module.parameters()) == kept
    lstm: Any = module.gates[2].lstm
    assert all(weight.numel() == 0 for weight in lstm._flat_weights)
    with pytest.raises(MisconfigurationException, match=r"called by itself.*net|gates.2"):
        module.gates[2]({"hidden": torch.ones(1, 1, 5)})
    whole = Masked().state_dict()
    module.load_state_dict(fitting_weights(module, whole))
    assert torch.equal(module.entry.embed.weight, whole["entry.embed.weight"])
    optimizer = torch.optim.Adam(module.parameters())
    other = Masked()
    trained = torch.optim.Adam(other.parameters())
    other(torch.ones(2, 3)).sum().backward()
    trained.step()
    optimizer.load_state_dict(fitting_optimizer_state(optimizer, trained.state_dict()))
    assert len(optimizer.state) == 5  # the embedding and the four weights of an LSTM
    assert len(optimizer.param_groups[0]["params"]) == len(trained.param_groups[0]["params"])


# Batches

Pair = namedtuple("Pair", ["left", "right"])


def test_batches_are_divided_along_their_first_dimension() -> None:
    x = torch.arange(6)
    batch = {"x": x, "pair": Pair(x + 10, [x, "same"]), "names": list("abcdef"), "scale": torch.tensor(2.0), "n": None}
    first, second = split_batch(batch, 2)
    assert first["x"].tolist() == [0, 1, 2]
    assert second["pair"].left.tolist() == [13, 14, 15]
    assert second["pair"].right[0].tolist() == [3, 4, 5]
    assert first["pair"].right[1] == "same"
    assert second["names"] == ["d", "e", "f"]
    assert float(second["scale"]) == 2.0
    assert second["n"] is None
    assert signature(first) == signature(second) != signature(batch)
    with pytest.raises(MisconfigurationException, match=r"cannot be divided.*\(4,\).*that of the batch, 6"):
        split_batch([x, torch.ones(4)], 2)
    with pytest.raises(MisconfigurationException, match=r"cannot be divided.*'MetricStore'"):
        split_batch([x, MetricStore()], 2)


def test_arguments_and_outputs_of_the_pipeline() -> None:
    parts = split_arguments((torch.arange(4), {"mask": torch.ones(4, 2), "flag": True}), 2)
    assert [part[0].tolist() for part in parts] == [[0, 1], [2, 3]]
    assert parts[1][1]["mask"].shape == (2, 2)
    assert torch.equal(join_outputs([part[0] for part in parts]), torch.arange(4))
    with pytest.raises(MisconfigurationException, match=r"\(5,\).*3 microbatches"):
        split_arguments((torch.arange(5),), 3)
    with pytest.raises(MisconfigurationException, match=r"one number for a batch"):
        join_outputs([torch.tensor(1.0), torch.tensor(2.0)])
    assert [largest_divisor(size, 4) for size in (8, 6, 5, 1, 3)] == [4, 3, 1, 1, 3]


def test_what_microbatches_log_is_logged_once() -> None:
    """A mean of means, weighted where sizes are given; sums add up: 1 + 3 = 4, (1 * 1 + 3 * 3) / 4 = 2.5."""
    store = MetricStore()
    store.enter("train", "batch")
    records = Records(store)
    options: Any = {how: (False, True, True, False, how, None, True, False) for how in ("mean", "sum", "max")}
    for value in (1.0, 3.0):
        with records.collecting():
            for how, chosen in options.items():
                store.log(how, torch.tensor(value), chosen, None)
            store.log("weighted", torch.tensor(value), options["mean"], int(value))
    told = records.log()
    values = {name: value.item() for name, value in store.callback_metrics.items()}
    assert values == {"mean": 2.0, "sum": 4.0, "max": 3.0, "weighted": 2.5}
    assert {name: value for name, value, _, _ in told} == values
    with records.ignoring():
        store.log("mean", torch.tensor(9.0), options["mean"], None)
    assert store.callback_metrics["mean"] == 2


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "2f2b"}, r"`schedule` is unknown.*interleaved_1f1b"),
        ({"microbatches": 0}, r"`microbatches` makes no sense"),
        ({"data_parallel_size": 1.5}, r"`data_parallel_size` makes no sense"),
        ({"stages_per_process": 2}, r"`stages_per_process` does not fit"),
        ({"stages_per_process": 1, "schedule": "interleaved_1f1b"}, r"`stages_per_process` does not fit"),
        ({"split_points": "net.1"}, r"`split_points` is one name"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        PipelineStrategy(**options)


def test_schedules_say_which_numbers_of_microbatches_they_take() -> None:
    check_microbatches(SCHEDULES["1f1b"], 4, 4)
    check_microbatches(SCHEDULES["interleaved_1f1b"], 10, 4)  # two rounds of five, as torch arranges them
    with pytest.raises(MisconfigurationException, match=r"at least the number of stages, 4"):
        check_microbatches(SCHEDULES["1f1b"], 3, 4)
    with pytest.raises(MisconfigurationException, match=r"a multiple of the number of processes, 4"):
        check_microbatches(SCHEDULES["interleaved_1f1b"], 9, 4)


def test_one_process_is_a_pipeline_too(tmp_path: Path) -> None:
    alone = pipe_jobs.ragged(tmp_path)
    trainer = pipe_jobs.make(tmp_path, strategy=PipelineStrategy(microbatches=4, schedule="interleaved_1f1b"))
    model = Piped("chain", "adam")
    trainer.fit(model, pipe_jobs.loader(21), pipe_jobs.loader(13, 4, shuffle=False))
    assert model.losses == pytest.approx(alone["losses"], abs=TOLERANCE)
    assert isinstance(L.Trainer(strategy="pipeline", devices=1, logger=False).strategy, PipelineStrategy)


def test_a_step_calls_the_pipeline_once(tmp_path: Path) -> None:
    for calls, kind in enumerate((pipe_jobs.Never, Piped, pipe_jobs.Twice)):
        trainer = pipe_jobs.make(tmp_path, strategy=PipelineStrategy(microbatches=2), max_steps=1)
        if calls == 1:
            trainer.fit(kind("chain", "adam"), pipe_jobs.loader())
            assert trainer.global_step == 1
            continue
        with pytest.raises(MisconfigurationException, match=rf"once for each batch. Got '{calls} calls'"):
            trainer.fit(kind("chain", "adam"), pipe_jobs.loader())


def test_fabric_refuses_pipelines() -> None:
    with pytest.raises(MisconfigurationException, match="Fabric does not drive pipelines"):
        PipelineStrategy().wrap_module(nn.Linear(1, 1))


# Several processes


def start(folder: Path, devices: int, *names: str, **variables: str) -> list[dict[str, Any]]:
    """Run jobs in processes that nobody watches, so that each may go on after an error; return what each found."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "JOB_DEVICES": str(devices), "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **variables,
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(JOBS), str(folder), *names],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(devices)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=250)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * devices, "\n".join(said)[-5000:]
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(devices)]


SAME = ("ragged", "watched", "carried", "itself", "thawing")
JOBS_OF_TWO = (*SAME, "bytes_held", "noisy", "reload", "resumed", "checkpoint", "unplain", "refused")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("two")
    return folder, start(folder, 2, *JOBS_OF_TWO)


def agree(found: Any, wanted: Any, name: str) -> None:
    if isinstance(wanted, float | dict) or (isinstance(wanted, list) and wanted and isinstance(wanted[0], float)):
        assert found == pytest.approx(wanted, abs=TOLERANCE), name
    else:
        assert found == wanted, name


@pytest.mark.parametrize("name", SAME)
@pytest.mark.multiprocess
@pytest.mark.slow
def test_two_stages_do_what_one_process_does(
    tmp_path: Path, two: tuple[Path, list[dict[str, Any]]], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Losses, metrics, predictions, the epoch of stopping, the best checkpoints, the learning rate: on both."""
    alone = getattr(pipe_jobs, name)(tmp_path)
    for rank in two[1]:
        assert rank[name].keys() == alone.keys()
        for key, wanted in alone.items():
            agree(rank[name][key], wanted, key)


@pytest.mark.multiprocess
@pytest.mark.slow
def test_each_stage_holds_its_own_part_only(tmp_path: Path, two: tuple[Path, list[dict[str, Any]]]) -> None:
    alone = pipe_jobs.bytes_held(tmp_path)
    ranks = [rank["bytes_held"] for rank in two[1]]
    for kind in ("parameters", "gradients", "states"):
        assert sum(rank[kind] for rank in ranks) == alone[kind] > 0
        assert max(rank[kind] for rank in ranks) <= 0.55 * alone[kind]
    assert all(rank["names"] and rank["groups"] == alone["groups"] for rank in ranks)


@pytest.mark.multiprocess
@pytest.mark.slow
def test_random_draws_of_a_step_are_the_same_where_it_begins_and_where_it_ends(
    two: tuple[Path, list[dict[str, Any]]],
) -> None:
    ranks = [rank["noisy"] for rank in two[1]]
    assert ranks[0] == ranks[1]
    assert ranks[0]["found"] == [0.0] * len(ranks[0]["found"])
    assert len(ranks[0]["found"]) == 10  # six batches of training and four of validation


@pytest.mark.multiprocess
@pytest.mark.slow
def test_a_resumed_fit_has_the_very_losses(two: tuple[Path, list[dict[str, Any]]]) -> None:
    for rank in two[1]:
        found = rank["resumed"]
        assert len(found["whole"]) == 18
        assert found["window"] == found["whole"]
        assert found["epoch"] == found["whole"]


@pytest.mark.multiprocess
@pytest.mark.slow
def test_a_split_model_trains_on_and_takes_a_checkpoint(two: tuple[Path, list[dict[str, Any]]]) -> None:
    for rank in two[1]:
        before, after, back = rank["reload"]["values"]
        assert after != pytest.approx(before, abs=1e-3)
        assert back == pytest.approx(before, abs=1e-6)


@pytest.mark.multiprocess
@pytest.mark.slow
@pytest.mark.parametrize("longest", [2, pytest.param(4, marks=pytest.mark.soak)])
def test_a_checkpoint_is_that_of_one_process(
    tmp_path: Path, two: tuple[Path, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    """Names, order and values; and each goes on in pipelines of other lengths, and without any."""
    first = pipe_jobs.checkpoint(tmp_path / "one")
    paths = {"one": tmp_path / "one" / "made.ckpt", "two": two[0] / "checkpoint" / "made.ckpt"}
    one, other = (torch.load(path, weights_only=True) for path in paths.values())
    for section in ("state_dict", "current_model_state"):
        assert list(one[section]) == list(other[section])
        for name, value in one[section].items():
            torch.testing.assert_close(other[section][name], value, atol=1e-6, rtol=0)
    [mine], [whole] = other["optimizer_states"], one["optimizer_states"]
    assert mine["param_groups"] == whole["param_groups"]
    assert list(mine["state"]) == list(whole["state"])
    for index, held in whole["state"].items():
        for name, value in held.items():
            torch.testing.assert_close(mine["state"][index][name], value, atol=1e-6, rtol=0)
    smaller = torch.load(two[0] / "checkpoint" / "weights.ckpt", weights_only=True)
    fresh = Piped("masked", "adam")
    fresh.load_state_dict(smaller["state_dict"])

    monkeypatch.setenv("JOB_FROM", str(paths["one"]))
    wanted = pipe_jobs.checkpoint(tmp_path / "wanted")["losses"]
    assert len(wanted) == len(first["losses"]) == 6
    for rank in start(tmp_path / "one-two", 2, "checkpoint", JOB_FROM=str(paths["one"])):
        assert rank["checkpoint"]["losses"] == pytest.approx(wanted, abs=1e-6)
    if longest > 2:
        for rank in start(tmp_path / "two-four", longest, "checkpoint", JOB_FROM=str(paths["two"])):
            assert rank["checkpoint"]["losses"] == pytest.approx(wanted, abs=1e-6)
    monkeypatch.setenv("JOB_FROM", str(paths["two"]))
    assert pipe_jobs.checkpoint(tmp_path / "two-one")["losses"] == pytest.approx(wanted, abs=1e-6)


MESSAGES = {
    "tied": "Parameters are shared by layers on different stages. Got [['net.0.weight', 'net.2.weight']]",
    "batch norm": "Batch norms would see microbatches instead of batches. Got ['net.1']",
    "manual": "Manual optimisation does not go through a pipeline",
    "closure": "An optimizer that looks at all parameters together",
    "outside": "Outside does not say what its layers are",
    "few layers": "The model has fewer layers than the pipeline has stages. Got ['net.0']; expected at least 2",
    "not divided": "A batch cannot be divided into equal microbatches. Got '8 samples'",
    "few microbatches": "`microbatches` does not fit schedule='1f1b'. Got 1; expected at least the number of stages, 2",
    "processes": "The processes make no whole number of pipelines. Got '2 processes'",
    "points": "`split_points` does not make the stages of this pipeline. Got ['net.9']",
    "statistics": "Layers change their buffers with every microbatch, not once for a batch. Got ['net.",
    "no sequence": "`layers` names no sequence of layers. Got 'net.0'",
}


@pytest.mark.multiprocess
@pytest.mark.slow
def test_a_stage_whose_state_cannot_be_saved_is_named_on_every_process(two: tuple[Path, list[dict[str, Any]]]) -> None:
    for rank in two[1]:
        error = rank["unplain"]["error"]
        assert re.search(r"\[.made_in.\]: pathlib\S*\.PosixPath on rank 1.; expected numbers, text", error), error


@pytest.mark.multiprocess
@pytest.mark.slow
def test_what_cannot_be_is_refused_on_every_process(two: tuple[Path, list[dict[str, Any]]]) -> None:
    assert MESSAGES.keys() == pipe_jobs.REFUSED.keys()
    for rank in two[1]:
        assert rank["refused"].keys() == MESSAGES.keys()
        for name, message in MESSAGES.items():
            assert rank["refused"][name].startswith(message), name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("twice", "has to call the pipeline (Chain) once for each batch. Got '2 calls'"),
        pytest.param(
            "shapes",
            "A stage returned something else than for an earlier microbatch of the same shapes",
            marks=pytest.mark.soak,
        ),
    ],
)
@pytest.mark.multiprocess
@pytest.mark.slow
def test_what_one_stage_finds_out_ends_all(tmp_path: Path, name: str, message: str) -> None:
    """Started by the trainer itself, which reports the first failure on rank zero."""
    done = run_script(JOBS, str(tmp_path), "failing", devices=2, timeout=150, variables={"JOB_FAILING": name})
    assert done.returncode != 0
    assert message in done.stderr


def test_inner_layers_of_other_stages_are_not_called() -> None:
    module = Masked()
    leave_elsewhere(find_layers(module, None), [4])
    x: Tensor = data(2).tensors[0]
    with pytest.raises(MisconfigurationException, match="called by itself"):
        module.entry(x)
