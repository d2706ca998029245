"""docs/how-to/operate.md: its file is one that is taken, and its commands, numbers and files exist."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from click import Context

from components.config import make_config
from flows.__main__ import COMMANDS, LazyGroup, cli
from flows.installation import children, logs
from flows.installation.file import ApplicationPlan, DistrictPlan, InstallationPlan, MachinePlan, read_plan
from flows.installation.places import TRAIN_LIMIT, resolve
from flows.installation.prepare import check_plans
from tests.docs.pages import HOW_TO, Page

PAGE = Page.named("operate")
ROOT = HOW_TO.parents[1]


def test_the_file_on_the_page_is_taken(tmp_path: Path) -> None:
    [text] = re.findall(r"```toml\n(.*?)```", PAGE.text, re.S)
    for name, mode in (("north.env", 0o600), ("north-clients.json", 0o600)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    file = tmp_path / "homeroom.toml"
    file.write_text(text.replace("/etc/homeroom", str(tmp_path)))
    installation = resolve(read_plan(file), file)
    check_plans(installation)
    assert [one.name for one in installation.districts] == ["north", "south"]


def test_every_key_is_on_the_page_with_its_default() -> None:
    for kind in (MachinePlan, DistrictPlan, ApplicationPlan):
        for field in fields(kind):
            assert f"{field.name} = " in PAGE.text or f"`{field.name}`" in PAGE.text or field.name == "applications"
    default = make_config(InstallationPlan, tomllib.loads("[districts.a]")).installation
    assert f"prefect_port = {default.prefect_port} " in PAGE.text
    assert f"grace_s = {default.grace_s:.1f} " in PAGE.text
    assert f"trainings = {default.trainings} " in PAGE.text


def test_its_commands_and_files_exist() -> None:
    for words in re.findall(r"homeroom ((?:up|down|status|doctor|releases|runs)\b[^`\n#;]*)", PAGE.text):
        assert words.split()[0] in COMMANDS
    known = {
        option
        for name in ("up", "status", "doctor", "releases")
        if (command := LazyGroup.get_command(cli, Context(cli), name)) is not None
        for parameter in command.params
        for option in parameter.opts
    }
    for option in set(re.findall(r"--[a-z]+", PAGE.text)):
        assert option in known, option
    for path in set(re.findall(r"infra/[a-z./]+[a-z]", PAGE.text)) - {"infra/docker/secrets"}:
        assert (ROOT / path).exists(), path


def test_its_numbers_are_the_codes() -> None:
    assert TRAIN_LIMIT in PAGE.text
    assert f"double from {children.FIRST_WAIT_S:.0f} s to {children.LONGEST_WAIT_S:.0f} s" in PAGE.text
    assert f"{logs.MOST_BYTES // 1_000_000} MB each and five older ones" in PAGE.text
    assert logs.KEPT == 5
