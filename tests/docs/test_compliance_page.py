"""docs/explanation/compliance.md and the how-to on weights: what they name is there."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from components.config import make_config
from components.mitigation.config import ReweighConfig
from components.mitigation.reweighing import REWEIGHING, weights_of, write_weights
from flows.__main__ import COMMANDS
from tests.docs.pages import HOW_TO, Page

COMPLIANCE = HOW_TO.parent / "explanation" / "compliance.md"
PAGES = (COMPLIANCE, HOW_TO / "reweighing.md", HOW_TO / "leakage.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_its_links_lead_somewhere_and_its_commands_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (path.parent / link).is_file(), link
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S))
    named = set(re.findall(r"`homeroom (\w+)", text)) | set(re.findall(r"^homeroom (\w+)", shell, re.M))
    assert named <= set(COMMANDS)


def test_the_files_that_it_names_are_written_by_somebody() -> None:
    root = HOW_TO.parents[1]
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (root / "components").rglob("*.py"))
    named = set(re.findall(r"`(\w+\.(?:json|parquet|md))`", COMPLIANCE.read_text(encoding="utf-8")))
    assert {"leakage.json", "groups.json", "metrics.json", "card.md"} <= named
    assert [name for name in sorted(named) if name not in sources] == []


def test_its_weights_are_those_that_there_are(tmp_path: Path) -> None:
    page = Page.named("reweighing")
    (block,) = re.findall(r"```toml\n(.*?)```", page.text, re.S)
    config = make_config(ReweighConfig, tomllib.loads(block)["preprocess"]["reweigh"])
    assert config == ReweighConfig(by="gender")
    (tmp_path / "train").mkdir()
    write_weights(tmp_path, weights_of(["a", "b", "b"], np.array([0, 1, 0]), config), config, "train")
    assert (tmp_path / "train" / "group_weight.npy").is_file()
    assert (tmp_path / REWEIGHING).is_file()
    for method in ("group_and_label", "group"):
        assert f"| `{method}` |" in page.text
