"""Loading a bundle: nothing runs before verification, two codecs live side by side, golden answers hold."""

import sys
from pathlib import Path

import numpy as np
import pytest

from components.bundle import write_bundle_manifest
from components.errors import DigestMismatchError
from serving.bundle import Bundle, load_bundle
from serving.errors import BundleError, ModelError
from serving.health import differences, golden_problems
from serving.session import Session
from tests.serving.bundles import (
    KEY,
    probability_of,
    request_of,
    score_model,
    shifted_reference,
    sigmoid,
    tracing_model,
    write_bundle,
    write_score_bundle,
)


def test_a_loaded_bundle_gives_the_answer_worked_out_by_hand(tracing: Bundle) -> None:
    for steps in (0, 1, 7):
        answer = tracing.answer([tracing.requests.read_plain(request_of(steps))])[0]
        assert answer.predictions[0].probability == pytest.approx(probability_of(steps), abs=1e-6)
        assert answer.steps_used == steps


def test_loading_leaves_the_folder_as_it_was(tracing: Bundle, tracing_folder: Path) -> None:
    assert tracing.version
    assert not list(tracing_folder.rglob("__pycache__"))
    load_bundle(tracing_folder)


def test_a_changed_codec_never_runs(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b")
    mark = tmp_path / "it ran"
    text = (tmp_path / "b" / "codec.py").read_text()
    (tmp_path / "b" / "codec.py").write_text(f"open({str(mark)!r}, 'w').close()\n{text}")
    with pytest.raises(DigestMismatchError, match=r"codec\.py"):
        load_bundle(tmp_path / "b")
    assert not mark.exists()


def test_a_wrong_key_stops_the_codec_from_running(tmp_path: Path) -> None:
    codec = tmp_path / "codec.py"
    mark = tmp_path / "it ran"
    version = write_bundle(tmp_path / "b")
    codec = tmp_path / "b" / "codec.py"
    codec.write_text(f"open({str(mark)!r}, 'w').close()\n{codec.read_text()}")
    changed = write_bundle_manifest(tmp_path / "b", "knowledge_tracing", ["probability"], 1e-5, None)
    assert changed != version
    with pytest.raises(DigestMismatchError, match="not signed"):
        load_bundle(tmp_path / "b", KEY)
    assert not mark.exists()


def test_two_releases_with_different_codecs_live_side_by_side(tracing: Bundle, tmp_path: Path) -> None:
    write_score_bundle(tmp_path / "scores")
    scores = load_bundle(tmp_path / "scores")
    assert type(scores.codec).__module__ != type(tracing.codec).__module__
    assert type(scores.codec).__module__ == f"homeroom_codec_{scores.manifest.digest[:12]}"
    for _ in range(2):  # by turns
        value = scores.answer([scores.requests.read(b'{"scores":[0.5,0.25]}')])[0].value
        assert value == pytest.approx(sigmoid(0.75), abs=1e-6)
        answer = tracing.answer([tracing.requests.read_plain(request_of(2))])[0]
        assert answer.predictions[0].probability == pytest.approx(probability_of(2), abs=1e-6)


def test_a_codec_may_be_a_package_whose_files_import_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(folder)
    (folder / "codec").mkdir()
    (folder / "codec.py").rename(folder / "codec" / "parts.py")
    (folder / "codec" / "__init__.py").write_text(
        "from .parts import Answer, Codec, Request\n\n\ndef late():\n    from . import names\n    return names.ONE\n"
    )
    (folder / "codec" / "names.py").write_text("ONE = 1\n")
    write_bundle_manifest(folder, "knowledge_tracing", ["probability"], 1e-5, None)
    bundle = load_bundle(folder)
    answer = bundle.answer([bundle.requests.read_plain(request_of(2))])[0]
    assert answer.predictions[0].probability == pytest.approx(probability_of(2), abs=1e-6)
    module = sys.modules[type(bundle.codec).__module__]
    assert module.__name__ == f"homeroom_codec_{bundle.manifest.digest[:12]}.parts"
    before = bundle.codec_digest
    (folder / "codec" / "names.py").write_text("ONE = 2\n")  # what was verified counts, not what lies there now
    assert sys.modules[module.__name__.rpartition(".")[0]].late() == 1
    assert not list(folder.rglob("__pycache__"))
    with pytest.raises(DigestMismatchError, match=r"codec/names\.py"):
        load_bundle(folder)
    write_bundle_manifest(folder, "knowledge_tracing", ["probability"], 1e-5, None)
    assert load_bundle(folder).codec_digest != before


def test_a_codec_that_does_not_run_is_told_and_leaves_no_module(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b")
    (tmp_path / "b" / "codec.py").write_text("import a_module_that_is_nowhere\n")
    write_bundle_manifest(tmp_path / "b", "knowledge_tracing", ["probability"], 1e-5, None)
    before = set(sys.modules)
    with pytest.raises(BundleError, match="ModuleNotFoundError"):
        load_bundle(tmp_path / "b")
    assert not {m for m in set(sys.modules) - before if m.startswith("homeroom_codec_")}


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("codec.json", b"{}", r"codec\.json"),
        ("golden.json", b'{"requests":[],"answers":[]}', "is empty"),
        ("golden.json", b'{"requests":[{}],"answers":[{}]}', r"golden\.json"),
        ("golden.json", b'{"requests":[{"candidates":[{}]}],"answers":[]}', r"golden\.json"),
        ("model.onnx", b"no model", "ONNX Runtime .* refuses"),
        ("codec.py", b"", "no dataclass Request"),
    ],
)
def test_an_intact_bundle_with_bad_contents_is_refused(tmp_path: Path, name: str, body: bytes, message: str) -> None:
    write_bundle(tmp_path / "b")
    (tmp_path / "b" / name).write_bytes(body)
    write_bundle_manifest(tmp_path / "b", "knowledge_tracing", ["probability"], 1e-5, None)
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path / "b")


def test_a_bundle_without_a_needed_file_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=r"model\.int8\.onnx"):
        load_bundle(tmp_path / "b", int8=True)


def test_an_8_bit_model_is_checked_against_its_own_golden_answers(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", int8_model=tracing_model(shift=1.0), int8_reference=shifted_reference)
    for int8, shift in ((False, 0.0), (True, 1.0)):
        bundle = load_bundle(tmp_path / "b", int8=int8)
        answer = bundle.answer([bundle.requests.read_plain(request_of(0))])[0]
        assert answer.predictions[0].probability == pytest.approx(sigmoid(0.15 + shift), abs=1e-6)
        assert golden_problems(bundle) == ()
    write_bundle(tmp_path / "off", int8_model=tracing_model(shift=1.1), int8_reference=shifted_reference)
    assert golden_problems(load_bundle(tmp_path / "off")) == ()
    assert "Golden request 0, answered alone" in golden_problems(load_bundle(tmp_path / "off", int8=True))[0]


def test_an_older_release_has_no_golden_answers_for_its_8_bit_model(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", int8_model=tracing_model(shift=1.0))
    assert golden_problems(load_bundle(tmp_path / "b")) == ()
    with pytest.raises(BundleError, match=r"has no golden\.int8\.json; .* serve the float model"):
        load_bundle(tmp_path / "b", int8=True)


def test_changed_8_bit_golden_answers_are_found_also_by_who_serves_the_float_model(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", int8_model=tracing_model(shift=1.0), int8_reference=shifted_reference, key=KEY)
    path = tmp_path / "b" / "golden.int8.json"
    path.write_bytes((tmp_path / "b" / "golden.json").read_bytes())
    for int8 in (False, True):
        with pytest.raises(DigestMismatchError, match=r"golden\.int8\.json"):
            load_bundle(tmp_path / "b", KEY, int8=int8)
    write_bundle_manifest(tmp_path / "b", "knowledge_tracing", ["probability"], 1e-5, KEY)
    assert golden_problems(load_bundle(tmp_path / "b", KEY)) == ()
    assert golden_problems(load_bundle(tmp_path / "b", KEY, int8=True))


def test_the_golden_answers_hold_for_a_right_model(tracing: Bundle) -> None:
    assert len(tracing.golden) == 8
    assert golden_problems(tracing) == ()


def test_a_model_that_is_off_by_more_than_the_tolerance_is_told(tmp_path: Path) -> None:
    write_bundle(tmp_path / "off", model=tracing_model(shift=0.01))
    problems = golden_problems(load_bundle(tmp_path / "off"))
    assert problems
    assert "Golden request 0, answered alone" in problems[0]
    assert "predictions[0].probability is off by" in problems[0]
    write_bundle(tmp_path / "wide", model=tracing_model(shift=0.01), tolerance=0.01)
    assert golden_problems(load_bundle(tmp_path / "wide")) == ()


def test_a_model_without_the_codecs_inputs_is_told(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", model=score_model())
    problems = golden_problems(load_bundle(tmp_path / "b"))
    assert problems == (
        "The golden requests could not be answered alone (ModelError).",
        "The golden requests could not be answered in one batch (ModelError).",
    )


@pytest.mark.parametrize(
    ("expected", "found", "count"),
    [
        ({"a": [1.0, "x"]}, {"a": [1.0, "x"]}, 0),
        ({"a": 1.0}, {"a": 1.05}, 0),
        ({"a": 1.0}, {"a": 1.2}, 1),
        ({"a": 1}, {"a": 1.0}, 0),
        ({"a": 1.0}, {"a": float("nan")}, 1),
        ({"a": 1.0}, {"b": 1.0}, 1),
        ([1.0], [1.0, 2.0], 1),
        ("x", "y", 1),
        (True, 1, 1),
        (None, "x", 1),
    ],
)
def test_differences_are_found_within_the_tolerance(expected: object, found: object, count: int) -> None:
    assert len(list(differences(expected, found, 0.1))) == count


def test_a_session_drops_unused_inputs_and_names_missing_ones(caplog: pytest.LogCaptureFixture) -> None:
    session = Session(score_model(), ["probability"])
    scores = np.array([[0.0, 1.0]], np.float32)
    for _ in range(2):
        out = session.run({"scores": scores, "more": scores})
    assert out["probability"][0].tolist() == pytest.approx([0.5, sigmoid(1.0)], abs=1e-6)
    assert [r.getMessage() for r in caplog.records] == ["The model does not use these inputs of the codec: more"]
    with pytest.raises(ModelError, match="does not make the input scores"):
        session.run({"other": scores})
    with pytest.raises(ModelError, match="could not compute"):
        session.run({"scores": scores.astype(np.int64)})
    with pytest.raises(BundleError, match="no output nothing; it has probability"):
        Session(score_model(), ["nothing"])
