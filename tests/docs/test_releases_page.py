"""docs/how-to/releases.md and docs/reference/release-log.md: code runs, settings and commands exist, fields are all."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import click

from components.app import load_application
from components.config import as_plain, make_config
from components.gate.approval import Approval, Approver
from components.gate.decision import Decision, Status
from flows.__main__ import COMMANDS, cli
from flows.settings import Settings
from serving.registry import Slot, State
from serving.registry.state import Action
from tests.docs.pages import HOW_TO, Page

PAGE = Page.named("releases")
REFERENCE = (HOW_TO.parent / "reference" / "release-log.md").read_text("utf-8")


def fields(title: str) -> set[str]:
    """Return the names in the first column of a section's table."""
    section = REFERENCE.split(f"## {title}")[1].split("\n## ")[0]
    return set(re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in section.splitlines() if row[:2] == "| ")))


def test_its_code_runs() -> None:
    assert PAGE.run_all()["decision"].status == "waits for approval"


def test_its_configuration_is_the_default() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.text, re.S)
    values: dict[str, dict[str, Any]] = tomllib.loads(block)
    kind = load_application("knowledge_tracing").config
    assert as_plain(make_config(kind, values)) == as_plain(kind())


def test_its_commands_and_options_exist() -> None:
    context = click.Context(cli)
    lines = [
        line.split("#")[0] for block in re.findall(r"```sh\n(.*?)```", PAGE.text, re.S) for line in block.splitlines()
    ]
    told = [line.split() for line in lines if line.startswith("homeroom ")]
    assert {words[1] for words in told} >= {"releases", "promote", "rollback", "approve", "reject", "approvers", "diff"}
    for words in told:
        assert words[1] in COMMANDS
        command = cli.get_command(context, words[1])
        if isinstance(command, click.Group):
            command = command.get_command(context, words[2])
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_the_settings_that_it_names_exist() -> None:
    named = {name.lower() for name in re.findall(r"HOMEROOM_([A-Z_]+)", PAGE.text)} - {"release_key"}
    assert named == {"one_writer", "keys", "notify"}
    assert named <= set(Settings.model_fields)


def test_the_fields_of_the_formats_are_all_there() -> None:
    decision = Decision(application="a", version="a-0", promote=False, reason="")
    assert fields("Decisions") == set(decision.to_json())
    slot = Slot(version="a-0123456789ab", artifact="0" * 64)
    state = State(number=1, at="", by="x", action="promote", reason="", champion=slot, previous=None)
    assert fields("The log") == {*state.to_json(), "imported"}
    for word in (*get_args(Action), *get_args(Status), *Approver.__dataclass_fields__, *Approval.__dataclass_fields__):
        assert f"`{word}`" in REFERENCE, word
    assert fields("`bundle.json` of a release") == {
        "format", "application", "version", "files", "outputs", "golden_tolerance", "signature"
    }  # fmt: skip


def test_the_links_lead_somewhere() -> None:
    for page in (HOW_TO / "releases.md", HOW_TO.parent / "reference" / "release-log.md"):
        for link in re.findall(r"\]\(([\w./-]+\.md)\)", page.read_text("utf-8")):
            assert (Path(page).parent / link).is_file(), link
