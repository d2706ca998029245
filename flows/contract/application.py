"""The contract: learn from made-up data, export what was learned, and serve what was exported."""

import csv
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any, ClassVar

import onnx
import pytest

import flows
from components.app import Application, Codec, application_names, load_application
from components.chain import STAGES
from components.config import as_plain, make_config
from components.stage import spec_of
from components.store import Store
from flows.contract.image import served_from_context
from flows.contract.released import Released, own_settings, release_application
from serving.health import differences, golden_problems

CARD = ("Intended use", "Data and consent", "Limits", "Who decides")
"""Headings that every model card has."""

_RUNS: dict[type, Released | Exception] = {}
"""What each class's run gave in this session."""


class ApplicationContract:
    """Tests of one application: subclass it in a test file as `Test...`, and give it the application's name.

    It makes up data of the application's kind and runs the application on them once for all of its tests. For a kind of
    data that homeroom does not know, override `made_up_data` and `check_served`.
    """

    application: ClassVar[str]
    """Name of the application, as `homeroom apps` lists it."""
    config: ClassVar[str] = "small"
    """The configuration that is run."""
    overrides: ClassVar[tuple[str, ...]] = ()
    """`section.key=value` for the run, after those that make it short (`OVERRIDES` of the kind of data)."""

    @property
    def app(self) -> Application:
        """The application."""
        if self.application not in application_names():
            pytest.fail(
                f"No application {self.application!r} is installed; there are: {', '.join(application_names())}. "
                "Install its project first: pip install --no-deps -e .",
                pytrace=False,
            )
        return load_application(self.application)

    @property
    def kind(self) -> Any:  # Any: a module such as flows.contract.sequences
        """What the contract knows of the application's kind of data."""
        return importlib.import_module(f"flows.contract.{self.app.made_up or self.app.kind.name}")

    def made_up_data(self, store: Store, folder: Path) -> Path:
        """Write data that the application can learn from into `folder` and return the file."""
        data: Path = self.kind.made_up_data(store, folder)
        return data

    def check_served(self, release: Released) -> None:
        """Assert that what is served is what was evaluated."""
        self.kind.check_served(release)

    @pytest.fixture
    def release(self, tmp_path_factory: pytest.TempPathFactory) -> Released:
        """Return the run of this class, made once; where it failed, all that ask for it fail as it did."""
        if type(self) not in _RUNS:
            try:
                _RUNS[type(self)] = self._run(tmp_path_factory.mktemp(self.application))
            except Exception as error:  # whatever goes wrong with somebody's application
                _RUNS[type(self)] = error
        found = _RUNS[type(self)]
        if isinstance(found, Exception):
            raise found
        return found

    def _run(self, home: Path) -> Released:
        settings = own_settings(home)
        logs = self.made_up_data(settings.open_store(), home)
        overrides = (*self.kind.OVERRIDES, *self.overrides)
        return release_application(self.application, logs, settings, config=self.config, overrides=overrides)

    def test_its_configurations_are_read_and_come_back(self) -> None:
        """There is a small and a full one, and each is the same after a round trip."""
        assert {"small", "full"} <= set(self.app.configurations())
        for name in self.app.configurations():
            config = self.app.configuration(name)
            assert make_config(self.app.config, as_plain(config)) == config

    def test_it_has_a_codec_and_a_card(self) -> None:
        """The codec has every method, the card every part."""
        assert issubclass(self.app.codec(), Codec)
        card = self.app.card_file.read_text(encoding="utf-8")
        assert [part for part in CARD if f"## {part}" not in card] == []

    def test_its_kind_of_data_has_every_stage_and_is_shown(self) -> None:
        """The chain names real stages, and summaries and reports can show its figures."""
        chain = self.app.kind
        assert [spec_of(chain.stage(stage)).name for stage in STAGES] == list(STAGES)
        assert callable(chain.part(chain.comparison))
        assert "metrics" in chain.part(chain.card)
        assert importlib.util.find_spec(f"flows.views.{chain.name}") is not None
        assert (Path(str(flows.__file__)).parent / "templates" / f"{chain.name}.html").is_file()

    def test_what_it_holds_out_was_not_seen_in_training(self, release: Released) -> None:
        """No student, time or row is on both sides; the report says what was looked at."""
        found = release.summary.outcome.leakage
        report = json.loads((release.store.folder(found) / "leakage.json").read_text(encoding="utf-8"))
        assert found.verdict != "fail", found.reasons
        assert {finding["outcome"] for finding in report["findings"]} <= {"pass", "warn"}
        assert {"students", "time", "protocol"} <= set(report["checks"])

    def test_it_learns(self, release: Released) -> None:
        """A trained model's loss falls; one that is fitted at once tells what it reached."""
        checkpoint = release.summary.outcome.checkpoint
        with (release.store.folder(checkpoint) / "history.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == checkpoint.epochs
        if checkpoint.optimizer_steps:
            losses = [float(row["train_loss"]) for row in rows]
            assert losses[-1] < losses[0] - 0.01
        else:
            assert float(rows[0][checkpoint.best_metric]) == pytest.approx(checkpoint.best_value)

    def test_it_beats_the_constant_predictor_on_held_out_students(self, release: Released) -> None:
        """The whole interval of the headline metric lies above what a constant reaches."""
        headline, evaluation = self.app.kind.headline, release.summary.outcome.evaluation
        low, high = evaluation.intervals[headline]
        assert low > self.kind.CONSTANT
        assert low < evaluation.metrics[headline] < high

    def test_its_export_equals_torch_on_every_shape(self, release: Released) -> None:
        """The exported graph was compared on made-up shapes and on validation data, and says what it was made of."""
        outcome = release.summary.outcome
        folder = release.store.folder(outcome.onnx)
        metadata = {p.key: p.value for p in onnx.load(folder / "model.onnx").metadata_props}
        assert metadata["application"] == self.application
        assert metadata["checkpoint"] == outcome.checkpoint.sha256
        assert metadata["dataset"] == outcome.dataset.sha256
        assert metadata["version"] == f"{self.application}-{metadata['checkpoint'][:12]}"
        assert json.loads(metadata["inputs"])
        checks = json.loads((folder / "parity.json").read_text())["checks"]
        shapes = {(c["batch"], c["steps"]) for c in checks if c["inputs"] == "made up"}
        assert len(shapes) >= 6
        assert (1, 1) in shapes
        assert max(steps for _, steps in shapes) == getattr(outcome.dataset, "max_len_steps", 200)
        assert any(c["inputs"] == "validation" for c in checks)
        assert max(c["max_abs_error"] for c in checks) <= 1e-5

    def test_its_release_is_signed_and_gives_the_golden_answers(self, release: Released) -> None:
        """The release verifies, and this machine gives the answers that were recorded when it was made."""
        bundle, version = release.bundle(), release.summary.outcome.release.version
        assert bundle.manifest.signature == "verified"
        assert bundle.version == version
        assert version.startswith(f"{self.application}-")
        assert golden_problems(bundle) == ()

    def test_what_is_served_equals_what_was_evaluated(self, release: Released) -> None:
        """Held-out data get the same answers from the release as in the evaluation."""
        self.check_served(release)

    def test_it_is_served_without_its_code(self, release: Released, tmp_path: Path) -> None:
        """The build context alone answers over HTTP as the release does offline; the release carries the codec."""
        bundle = release.bundle()
        folder, key = release.store.folder(release.summary.outcome.release), release.settings.read_signing_key()
        golden = json.loads(bundle.manifest.read("golden.json"))
        own = self.app.package.partition(".")[0]
        served = served_from_context(folder, key, tmp_path, golden["requests"], forbidden=(own,))
        assert served["ready"] == 200
        assert len(served["replies"]) == len(golden["answers"]) > 0
        for (status, reply), answer in zip(served["replies"], golden["answers"], strict=True):
            assert status == 200
            assert reply["release"] == bundle.version
            assert list(differences(answer, reply["answer"], bundle.manifest.golden_tolerance)) == []
