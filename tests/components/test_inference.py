"""ONNX Runtime without telemetry: using it writes nothing below the user's home."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from components.inference import open_session
from tests.serving.bundles import tracing_model, tracing_reference

ROOT = Path(__file__).resolve().parents[2]
INPUTS = {
    "items": np.array([[2, 3, 4]]),
    "skills": np.array([[[2], [3], [4]]]),
    "responses": np.array([[1.0, 0.0, 0.0]], np.float32),
}
OURS = "from components.inference import open_session; s = open_session(Path(sys.argv[1]))"
THEIRS = "import onnxruntime as o; s = o.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
SCRIPT = """
import sys
from pathlib import Path
import numpy as np
{opening}
zeros = np.zeros((1, 3), np.int64)
s.run(None, {{"items": zeros, "skills": zeros[..., None], "responses": zeros.astype(np.float32)}})
"""


def files_left_by(opening: str, folder: Path) -> list[str]:
    """Return what a fresh process that runs a model leaves below its home."""
    home = folder / "home"
    home.mkdir()
    (folder / "model.onnx").write_bytes(tracing_model())
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT.format(opening=opening), str(folder / "model.onnx")]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=120)
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())


def test_a_session_leaves_nothing_below_the_home(tmp_path: Path) -> None:
    assert files_left_by(OURS, tmp_path) == []


@pytest.mark.skipif(
    sys.platform != "linux" or version("onnxruntime") != "1.31.1", reason="what is known of onnxruntime 1.31.1 on Linux"
)
def test_without_us_it_would(tmp_path: Path) -> None:
    assert [name for name in files_left_by(THEIRS, tmp_path) if name.endswith("deviceid")], "the test above is blind"


@pytest.mark.parametrize("kind", ["bytes", "path"])
def test_bytes_and_paths_give_the_same_session(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tracing_model())
    session = open_session(path if kind == "path" else path.read_bytes(), threads=2)
    (found,) = session.run(["probability"], INPUTS)
    np.testing.assert_allclose(found, tracing_reference(INPUTS)["probability"], atol=1e-6)
    assert session.get_session_options().intra_op_num_threads == 2
