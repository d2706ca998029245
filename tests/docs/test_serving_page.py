"""docs/how-to/serving.md: its code runs, and its tables are those of the code."""

import inspect
import re
from dataclasses import fields

import pytest
from prometheus_client import CollectorRegistry

from serving.canary import HEADER
from serving.errors import ServerStartError
from serving.metrics import Metrics
from serving.monitor_metrics import MonitorMetrics
from serving.settings import ServiceSettings
from serving.supervise.limits import Limits
from serving.supervise.waiting import wait_until_live
from tests.docs.pages import Page

PAGE = Page.named("serving")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    part = PAGE.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def test_the_limits_are_those_that_there_are_with_their_defaults() -> None:
    assert {row[0]: float(row[1]) for row in rows("Supervision")} == {
        one.name: float(getattr(Limits(), one.name)) for one in fields(Limits)
    }


def test_the_metrics_are_those_that_there_are_with_their_labels() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.request("/predict", 200, "r", "champion", 0.1)
    metrics.refusal(401)
    metrics.fallback("r")
    metrics.shadow("r", "compared", 0.1)
    metrics.swap("r")
    metrics.failed_load("r")
    metrics.pointer_failure()
    metrics.state(0, 1, {("champion", "r")})
    found: dict[str, set[str]] = {}
    watched = CollectorRegistry()
    MonitorMetrics({"registry": watched})
    elsewhere = {family.name for family in watched.collect()}  # docs/reference/metrics.md has these
    for family in registry.collect():
        if family.name in elsewhere:
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    told = {row[0]: set(re.findall(r"\w+", row[1])) for row in rows("Metrics")}
    assert told == found


def test_settings_and_header_exist() -> None:
    named = set(re.findall(r"HOMEROOM_(SERVE_\w+)", PAGE.text))
    assert named <= {name.upper() for name in ServiceSettings.model_fields}
    assert f"`{HEADER}`" in PAGE.text


def test_its_code_runs() -> None:
    names = PAGE.run_all()
    with pytest.raises(ServerStartError, match="could not be asked"):
        wait_until_live(lambda: names["version_of"]("http://127.0.0.1:9"), "v", 0.0)
    assert list(inspect.signature(names["wait"]).parameters) == ["url", "version", "entry"]
