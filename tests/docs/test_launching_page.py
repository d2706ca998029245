"""docs/how-to/launching.md: its code runs a job, and shows its failure."""

from pathlib import Path

import pytest

from tests.docs.pages import Page

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.multiprocess
def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    names = Page.named("launching").run_all()
    assert capsys.readouterr().out == "DataLoader(batch_size=48), Trainer(accumulate_grad_batches=1)\n"
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "greeting.py").write_text(
        "import os\nprint('rank', os.environ['RANK'], 'of', os.environ['WORLD_SIZE'])\n"
    )
    names["run"]("greeting", tmp_path / "job")
    assert sorted(capsys.readouterr().out.splitlines()) == ["rank 0 of 2", "rank 1 of 2"]
    (tmp_path / "greeting.py").write_text("1 / 0\n")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        names["run"]("greeting", tmp_path / "other")
