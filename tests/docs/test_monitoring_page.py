"""docs/how-to/monitoring.md: its code runs, its numbers are the code's, its signals are what the codecs give."""

import re
from dataclasses import asdict

import yaml
from click.testing import CliRunner

from components.deploy.config import ReleaseConfig
from components.monitoring.counts import GROUPS
from components.monitoring.reference import MIN_STUDENTS
from components.monitoring.windows import NAMED_SHARE, DriftLimits
from flows.__main__ import cli
from flows.knowledge_tracing.codec import Candidate, Codec, Request, Step
from flows.tasks import application_flow
from flows.watching.events import EVENT
from flows.watching.quality import MIN_CLUSTERS, MIN_VALUES
from tests.docs.pages import Page

PAGE = Page.named("monitoring")


def test_its_code_runs() -> None:
    assert PAGE.run_all()["Codec"]().signals(PAGE.names["Request"]((1.0, 2.0)), {"risk": 0.5}) == {
        "entries": 2.0,
        "risk": 0.5,
    }


def test_its_numbers_are_the_codes() -> None:
    text = " ".join(PAGE.text.split())
    limits = DriftLimits()
    for said in (
        f"`deploy.reference_requests` ({ReleaseConfig().reference_requests:,})",
        f"at least {MIN_STUDENTS} students",
        f"{GROUPS} groups by a hash",
        f"fewer than {NAMED_SHARE:.0%}".replace("%", " %"),
        f"at least that of {limits.per_student:g} requests per student",
        f"at most {limits.standard_error:g} standard deviations",
        f"more than {limits.effect:g} standard deviations",
        f"({limits.alpha:.0%}".replace("%", " %"),
        f"above {limits.index:g}",
        f"Under {MIN_VALUES} corrections",
        f"under {MIN_CLUSTERS} teachers",
    ):
        assert said in text, said
    assert (limits.k, limits.n) == (2, 3)


def test_its_signals_of_knowledge_tracing_are_the_codecs() -> None:
    codec = Codec(items=("a",), skills=("s",), max_skills=1, max_len_steps=10)
    request = Request(candidates=(Candidate(item="a"),), history=(Step(correct=1.0, item="b"),))
    answer = {"predictions": [{"probability": 0.5, "flags": ()}], "steps_used": 1, "flags": ("new_in_history",)}
    (row,) = re.findall(r"^\| knowledge tracing \| (.*) \|$", PAGE.text, re.M)
    assert set(codec.signals(request, answer)) == set(re.findall(r"`(\w+)`", row))
    assert codec.signals(request, answer)["new_in_history"] == 1.0


def test_its_automation_names_the_event_and_a_parameter_of_the_flow() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.text, re.S)
    found = yaml.safe_load(block)
    assert found["trigger"]["expect"] == [EVENT]
    (action,) = found["actions"]
    assert set(action["parameters"]) <= set(application_flow.parameters.properties)


def test_its_options_are_those_of_the_command() -> None:
    shown = CliRunner().invoke(cli, ["watch", "--help"]).output
    for option in ("--once", "--action", "--no-prefect", "--cool-down", "--quality", "--data", "--status"):
        assert option in PAGE.text
        assert option in shown
    assert asdict(DriftLimits())["k"] == 2
