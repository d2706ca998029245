"""What is refused before anything is asked of Prefect's server."""

from pathlib import Path

import pytest

from components.errors import ConfigError
from flows.installation.file import read_plan
from flows.installation.places import resolve
from flows.installation.prepare import prepare


def test_an_installation_that_would_fail_at_night_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "homeroom.toml"
    file.write_text(
        '[districts.n.applications.knowledge_tracing]\ndata = ["a"]\ncron = "every day"\n'
        '[districts.m.applications.knowledge_tracing]\ndata = ["a"]\nset = ["train.epoch=1"]\n'
        "[districts.o.applications.astrology]\nport = 3000\n"
    )
    with pytest.raises(ConfigError) as caught:
        prepare(resolve(read_plan(file), file), print)
    for said in ("3 problem(s)", "'every day' is no cron expression", "train.epoch: unknown key", "astrology"):
        assert said in str(caught.value)
