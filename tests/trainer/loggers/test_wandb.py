"""The Weights & Biases logger, offline; what it wrote is read back from its own files."""

from __future__ import annotations

import json
import pickle
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.errors import MisconfigurationException
from trainer.loggers import WandbLogger
from trainer.strategies import SingleDeviceStrategy

wandb: Any = pytest.importorskip("wandb", reason="wandb is not installed (extra `wandb`)")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(autouse=True)
def _ends_its_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.finish()


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of a .wandb file: LevelDB's log format after a header of 7 bytes, in blocks of 32 KiB."""
    data, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # too little left of the block for a header
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return the history in the one finished offline run below `folder`; wandb's own process may still write it."""
    from wandb.proto import wandb_internal_pb2

    [path] = folder.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(100):
        found = [wandb_internal_pb2.Record.FromString(data) for data in records(path)]
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            break
        time.sleep(0.05)
    histories = [record.history.item for record in found if record.WhichOneof("record_type") == "history"]
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items} for items in histories
    ]


def test_a_fit_is_in_the_offline_run(tmp_path: Path) -> None:
    logger = WandbLogger(name="first", project="school", save_dir=tmp_path / "w", offline=True, prefix="tmp")
    trainer = make_trainer(tmp_path, max_epochs=2, logger=logger, log_every_n_steps=2, enable_checkpointing=True)
    trainer.fit(LoggingRegression(), regression_loader())
    assert dict(logger.experiment.config)["lr"] == 0.05
    assert (logger.name, logger.version, logger.experiment.name) == ("school", logger.experiment.id, "first")
    assert str(tmp_path / "w" / "school" / str(logger.version)) in trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    wandb.finish()
    history = rows(tmp_path / "w")
    steps = [row["trainer/global_step"] for row in history if "tmp-train_loss_step" in row]
    assert steps == [1, 3, 5, 7, 9, 11]
    assert history[-1]["tmp-epoch"] == 1.0


def test_tables_images_and_their_errors(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    logger.log_table("words", columns=["a", "b"], data=[[1, "x"]], step=4)
    logger.log_text("text", columns=["a"], data=[["x"]])
    logger.save()
    assert logger._queue.error is None
    with pytest.raises(TypeError, match="`images` is no list"):
        logger.log_image("i", torch.zeros(3))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="`caption` does not fit `images`"):
        logger.log_image("i", [torch.zeros(2, 2)], caption=["a", "b"])
    wandb.finish()
    assert [{key.split("/")[0] for key in row if "nrows" in key} for row in rows(tmp_path)] == [{"words"}, {"text"}]


def test_hyperparameters_that_are_no_json(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    logger.log_hyperparams({"act": torch.nn.ReLU, "function": torch.relu, "path": tmp_path, "sizes": [1, 2]})
    config = dict(logger.experiment.config)
    assert config == {"act": "ReLU", "function": "relu", "path": str(tmp_path), "sizes": [1, 2]}


def test_a_copy_goes_on_with_the_same_run(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    identity = logger.experiment.id
    assert pickle.loads(pickle.dumps(logger)).version == identity


def test_a_run_in_progress_is_taken_over(tmp_path: Path) -> None:
    run = wandb.init(mode="offline", dir=str(tmp_path))
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    with pytest.warns(UserWarning, match="goes on with it"):
        assert logger.experiment is run


def test_checkpoints_cannot_be_sent_offline() -> None:
    with pytest.raises(MisconfigurationException, match="log_model='all' and offline=True"):
        WandbLogger(offline=True, log_model="all")
    assert WandbLogger(id="a", version="b").version == "b"
    assert WandbLogger(version=None, id="a").version == "a"


@pytest.mark.parametrize("kind", ["full", "sharded"])
def test_checkpoints_become_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Literal["full", "sharded"]
) -> None:
    run = wandb.init(mode="offline", dir=str(tmp_path))
    logger = WandbLogger(experiment=run, log_model=True, save_dir=tmp_path)
    sent: list[tuple[Any, list[str]]] = []
    monkeypatch.setattr(run, "log_artifact", lambda artifact, aliases: sent.append((artifact, aliases)))
    strategy = SingleDeviceStrategy(state_dict_type=kind)
    trainer = make_trainer(tmp_path, max_epochs=2, logger=logger, enable_checkpointing=True, strategy=strategy)
    trainer.fit(LoggingRegression(), regression_loader())
    [(artifact, aliases)] = sent
    metadata = artifact.metadata
    assert (artifact.name, aliases) == (f"model-{run.id}", ["latest", "best"])
    inside = [".metadata", "__0_0.distcp", "manifest.json", "meta.pt"]
    expected = ["model.ckpt"] if kind == "full" else [f"model.ckpt/{name}" for name in inside]
    assert sorted(artifact.manifest.entries) == expected
    assert metadata["original_filename"] == "epoch=1-step=12.ckpt"
