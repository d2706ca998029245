"""Profilers by themselves and in a trainer."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pstats
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trainer as L
from tests.trainer.models import LoggingRegression, assert_equal_weights, make_trainer, regression_loader
from trainer.errors import MisconfigurationException
from trainer.profilers import AdvancedProfiler, PassThroughProfiler, Profiler, PyTorchProfiler, SimpleProfiler


class Counting(Profiler):
    """A user's profiler."""

    def __init__(self) -> None:
        super().__init__()
        self.began: list[str] = []
        self.ended: list[str] = []

    def start(self, action_name: str) -> None:
        self.began.append(action_name)

    def stop(self, action_name: str) -> None:
        self.ended.append(action_name)


class Watching(L.Callback):
    def on_train_batch_end(self, *arguments: Any) -> None:
        pass


def fit(tmp_path: Path, profiler: Any, **options: Any) -> tuple[L.Trainer, LoggingRegression]:
    trainer = make_trainer(tmp_path, max_epochs=2, profiler=profiler, **options)
    model = LoggingRegression()
    trainer.fit(model, regression_loader(), regression_loader())
    return trainer, model


def test_the_argument(tmp_path: Path) -> None:
    kinds = {None: PassThroughProfiler, "simple": SimpleProfiler, "Advanced": AdvancedProfiler}
    for given, kind in kinds.items():
        assert type(make_trainer(tmp_path, profiler=given).profiler) is kind
    assert type(make_trainer(tmp_path, profiler="pytorch").profiler) is PyTorchProfiler
    own = Counting()
    assert make_trainer(tmp_path, profiler=own).profiler is own


def test_the_actions_of_a_fit(tmp_path: Path) -> None:
    profiler = Counting()
    fit(tmp_path, profiler, callbacks=[Watching()], num_sanity_val_steps=0)
    assert sorted(profiler.began) == sorted(profiler.ended)
    count = profiler.began.count
    assert count("run_training_epoch") == 2
    assert count("run_training_batch") == 12
    assert count("[Strategy]SingleDeviceStrategy.training_step") == 12
    assert count("[Strategy]SingleDeviceStrategy.backward") == 12
    assert count("[Strategy]SingleDeviceStrategy.optimizer_step") == 12
    assert count("[Strategy]SingleDeviceStrategy.validation_step") == 12
    assert count("[Callback]Watching.on_train_batch_end") == 12
    assert count("[_TrainingEpochLoop].train_dataloader_next") == 2 * 7  # the end of each epoch is looked for too


def test_the_actions_have_lightnings_names(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")

    class Theirs(lightning.LightningModule):  # type: ignore[misc,name-defined]  # it may be missing
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Linear(4, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.net(batch[0]).sum()

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            return self.net(batch[0]).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    profiler = lightning.profilers.SimpleProfiler(dirpath=tmp_path, filename="report")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    recorded: dict[str, int] = {}
    end = profiler.teardown

    def teardown(stage: str | None) -> None:
        recorded.update({name: len(durations) for name, durations in profiler.recorded_durations.items()})
        end(stage)

    profiler.teardown = teardown
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning.Trainer(
            max_epochs=2, profiler=profiler, enable_checkpointing=False, num_sanity_val_steps=0, **options
        ).fit(Theirs(), regression_loader(), regression_loader())
    ours = Counting()
    fit(tmp_path, ours, num_sanity_val_steps=0)
    shared = (
        "run_training_epoch",
        "run_training_batch",
        "[Strategy]SingleDeviceStrategy.training_step",
        "[Strategy]SingleDeviceStrategy.backward",
        "[Strategy]SingleDeviceStrategy.validation_step",
    )
    assert {name: ours.began.count(name) for name in shared} == {name: recorded[name] for name in shared}


def test_a_profiler_changes_no_weights(tmp_path: Path) -> None:
    plain = fit(tmp_path, None)[1]
    for profiler in ("simple", "advanced", Counting()):
        assert_equal_weights(plain, fit(tmp_path, profiler)[1])


def test_without_a_profiler_nothing_is_wrapped(tmp_path: Path) -> None:
    from trainer.profilers.weave import profiled, profiled_items

    trainer, items = make_trainer(tmp_path), iter([1])
    assert profiled(trainer, "a", time.sleep) is time.sleep
    assert profiled_items(trainer, "a", items) is items


def test_users_measure_their_own_code(tmp_path: Path) -> None:
    class Measured(LoggingRegression):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            assert self.trainer is not None
            with self.trainer.profiler.profile("mine"):
                return super().training_step(batch, batch_idx)

    profiler = SimpleProfiler(dirpath=tmp_path, filename="report")
    make_trainer(tmp_path, max_epochs=1, profiler=profiler).fit(Measured(), regression_loader())
    assert len(profiler.recorded_durations["mine"]) == 6
    text = (tmp_path / "fit-report.txt").read_text()
    assert text.startswith("FIT Profiler Report")
    assert "|  mine " in text


def test_durations_are_those_of_the_clock() -> None:
    profiler, outside = SimpleProfiler(), []
    for seconds in (0.05, 0.1):
        began = time.perf_counter()
        with profiler.profile("sleep"):
            time.sleep(seconds)
        outside.append(time.perf_counter() - began)
    first, second = profiler.recorded_durations["sleep"]
    assert 0.05 <= first <= outside[0]
    assert 0.1 <= second <= outside[1]


@pytest.mark.parametrize("extended", [True, False])
def test_the_table_of_the_simple_profiler(extended: bool) -> None:
    profiler = SimpleProfiler(extended=extended)
    profiler.recorded_durations.update({"a": [1.0, 2.0], "longer name": [0.25]})
    lines = profiler.summary().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    if extended:
        assert cells[0] == ["Action", "Mean duration (s)", "Num calls", "Total time (s)", "Percentage %"]
        assert cells[1][0:3] == ["Total", "-", "3"]
        assert [row[:4] for row in cells[2:]] == [["a", "1.5", "2", "3.0"], ["longer name", "0.25", "1", "0.25"]]
    else:
        assert cells == [
            ["Action", "Mean duration (s)", "Total time (s)"],
            ["a", "1.5", "3.0"],
            ["longer name", "0.25", "0.25"],
        ]
    assert SimpleProfiler(extended=extended).summary().startswith("Profiler Report")


def test_wrong_starts_and_stops_are_refused() -> None:
    profiler = SimpleProfiler()
    profiler.start("a")
    with pytest.raises(ValueError, match="a has started already"):
        profiler.start("a")
    for other in (profiler, AdvancedProfiler()):
        with pytest.raises(ValueError, match="b was never started"):
            other.stop("b")


def test_the_report_is_printed_or_logged(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    fit(tmp_path, "simple")
    assert "FIT Profiler Report" in capsys.readouterr().out
    with caplog.at_level(logging.INFO, logger="trainer.profilers"):
        fit(tmp_path, "simple")
    assert "FIT Profiler Report" in caplog.text
    assert "Profiler Report" not in capsys.readouterr().out


def test_a_report_also_of_a_run_that_failed(tmp_path: Path) -> None:
    class Failing(LoggingRegression):
        def on_train_epoch_end(self) -> None:
            raise RuntimeError("on purpose")

    profiler = SimpleProfiler(filename="report")
    with pytest.raises(RuntimeError, match="on purpose"):
        make_trainer(tmp_path, max_epochs=1, profiler=profiler).fit(Failing(), regression_loader())
    assert "run_training_batch" in (tmp_path / "fit-report.txt").read_text()


def test_advanced_reports_functions(tmp_path: Path) -> None:
    profiler = AdvancedProfiler(dirpath=tmp_path, filename="report", dump_stats=True)
    fit(tmp_path, profiler)
    text = (tmp_path / "fit-report.txt").read_text()
    assert "Profile stats for: [Strategy]SingleDeviceStrategy.training_step" in text
    assert "(mse_loss)" in text
    stats: Any = pstats.Stats(str(tmp_path / "fit-report-[Strategy]SingleDeviceStrategy.training_step.prof"))
    calls = {name: row[0] for (_, _, name), row in stats.stats.items()}
    assert calls["training_step"] == 12
    few = AdvancedProfiler(line_count_restriction=1)
    with few.profile("a"):
        sorted([3, 1])
    assert "due to restriction <1>" in few.summary()


def test_an_inner_action_pauses_the_outer_one() -> None:
    def early() -> None: ...
    def inside() -> None: ...
    def late() -> None: ...

    profiler = AdvancedProfiler()
    with profiler.profile("outer"):
        early()
        with profiler.profile("inner"):
            inside()
        late()
    seen = {
        action: {name for _, _, name in pstats.Stats(profile).stats}  # type: ignore[attr-defined]  # typeshed lacks it
        for action, profile in profiler.profiled_actions.items()
    }
    assert {"early", "late"} <= seen["outer"]
    assert "inside" not in seen["outer"]
    assert "inside" in seen["inner"]


@pytest.mark.parametrize("kind", [PassThroughProfiler, SimpleProfiler, AdvancedProfiler, PyTorchProfiler])
def test_profilers_are_copied(kind: type[Profiler], tmp_path: Path) -> None:
    profiler = kind(dirpath=tmp_path, filename="report")
    with profiler.profile("a"):
        pass
    profiler.describe()
    assert pickle.loads(pickle.dumps(profiler)).filename == "report"
    assert copy.deepcopy(profiler).dirpath == tmp_path


def test_torch_records_operators_and_a_trace(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(
        dirpath=tmp_path, filename="report", row_limit=-1, profile_memory=True, record_shapes=True
    )
    fit(tmp_path, profiler, num_sanity_val_steps=0)
    text = (tmp_path / "fit-report.txt").read_text()
    assert "aten::addmm" in text
    assert "CPU Mem" in text
    traces = sorted(path.name for path in tmp_path.glob("*.pt.trace.json"))
    assert any("training_step" in name for name in traces)
    [training] = [path for path in tmp_path.glob("*.pt.trace.json") if "training_step" in path.name]
    names = [event.get("name", "") for event in json.loads(training.read_text())["traceEvents"]]
    assert names.count("[pl][profile][Strategy]SingleDeviceStrategy.training_step") >= 3
    assert any(name.startswith("[pl][module]torch.nn.modules.linear.Linear: net.0") for name in names)


def test_torch_takes_a_schedule_of_the_user(tmp_path: Path) -> None:
    saved: list[Any] = []
    schedule = torch.profiler.schedule(wait=0, warmup=1, active=2, repeat=1)
    profiler = PyTorchProfiler(schedule=schedule, on_trace_ready=saved.append, record_module_names=False)
    make_trainer(tmp_path, max_epochs=1, profiler=profiler).fit(LoggingRegression(), regression_loader())
    assert len(saved) == 1


def test_torch_with_fewer_steps_than_its_schedule(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(dirpath=tmp_path, filename="report")
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=2, profiler=profiler)
    with pytest.warns(UserWarning, match="fewer than 5 steps"):
        trainer.fit(LoggingRegression(), regression_loader())
    assert "aten::" in (tmp_path / "fit-report.txt").read_text()


def test_torch_refuses_what_it_cannot_use() -> None:
    with pytest.raises(MisconfigurationException, match=r"`sort_by_key` names no column. Got 'speed'"):
        PyTorchProfiler(sort_by_key="speed")
    for schedule in (3, lambda step: 3):
        with pytest.raises(MisconfigurationException, match="`schedule` is no schedule"):
            PyTorchProfiler(schedule=schedule)
    for name in ("row_limit", "colour"):
        with pytest.raises(KeyError, match=f"unknown name '{name}'"):
            PyTorchProfiler(table_kwargs={name: 1})


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_other_stages_are_reported_too(tmp_path: Path, stage: str) -> None:
    profiler = SimpleProfiler(filename="report")
    trainer = make_trainer(tmp_path, profiler=profiler)
    getattr(trainer, stage)(LoggingRegression(), regression_loader())
    step = {"validate": "validation_step", "test": "test_step", "predict": "predict_step"}[stage]
    assert len(profiler.recorded_durations[f"[Strategy]SingleDeviceStrategy.{step}"]) == 6
    assert f"{stage.upper()} Profiler Report" in (tmp_path / f"{stage}-report.txt").read_text()
