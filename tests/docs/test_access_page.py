"""docs/how-to/access.md and explanation/security.md: the example runs; what they name is there."""

import json
import re
from pathlib import Path

from click import Group

from flows.cli.keys import keys
from flows.cli.serve import serve
from serving.access.clients import ROLES
from serving.access.file import parsed
from serving.access.rules import HEALTH, ROLES_OF
from serving.settings import ServiceSettings
from tests.docs.pages import HOW_TO, Page

PAGE = Page.named("access")
SECURITY = HOW_TO.parent / "explanation" / "security.md"


def test_the_example_runs(tmp_path: Path) -> None:
    PAGE.run_all()
    (example,) = PAGE.examples().values()
    example(tmp_path)


def test_the_issuer_that_it_shows_is_one(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE.text, re.S)
    file = {"format": 1, "keys": [], "issuers": [json.loads(shown)]}
    (issuer,) = parsed(json.dumps(file).encode(), tmp_path).issuers
    assert issuer.settings.roles is not None
    assert set(issuer.settings.roles) == {"teachers", "operations"}


def test_settings_options_roles_and_routes_are_the_codes() -> None:
    named = set(re.findall(r"HOMEROOM_(SERVE_[A-Z_]+)", PAGE.text))
    assert {name.lower() for name in named} <= set(ServiceSettings.model_fields)
    assert all(f"| `{role}` |" in PAGE.text for role in ROLES)
    assert all(f"`{path}`" in PAGE.text for path in HEALTH)
    for role, routes in re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.text, re.M):
        for route in re.findall(r"(/v1/[a-z/]+)", routes):
            assert ROLES_OF[route] == (role,)
    assert isinstance(keys, Group)
    assert all(f"homeroom keys {name}" in PAGE.text for name in keys.commands)
    known = {name for command in (serve, *keys.commands.values()) for one in command.params for name in one.opts}
    assert set(re.findall(r"[ `(](--[a-z][a-z-]+)", PAGE.text)) <= known


def test_the_tests_that_the_threats_point_at_are_there() -> None:
    text = SECURITY.read_text(encoding="utf-8")
    tests = HOW_TO.parents[1] / "tests"
    for name in re.findall(r"`(?:tests/[a-z/]+/)?(test_\w+\.py)`", text):
        assert list(tests.rglob(name)), name
    bodies = (tests / "serving" / "access" / "test_server.py").read_text(encoding="utf-8")
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in bodies
