"""The dashboard, the rules and the reference page name metrics and labels that the service has; the page names all."""

import json
import re
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from serving.live import go_live
from serving.metrics import Metrics
from serving.monitor_metrics import LAST_WATCH
from serving.observe import Observed, Observer
from serving.settings import ServiceSettings
from serving.status import Reporter
from tests.serving.bundles import request_of, write_bundle
from tests.serving.test_monitor import asked, reference

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "infra" / "grafana" / "homeroom.json"
PROMETHEUS = ROOT / "infra" / "prometheus"
PAGE = ROOT / "docs" / "reference" / "metrics.md"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
QUERY_LABELS = {"le"}


def described() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Return what the code registers: name in queries -> kind, labels, help."""
    registry = prometheus_client.CollectorRegistry()
    Metrics(registry)
    found = {}
    for collector in registry._collector_to_names:
        assert isinstance(collector, MetricWrapperBase)
        (family,) = collector.describe()
        labels = tuple(collector._labelnames)
        found[family.name] = (family.type, labels, family.documentation)
    return found


def queryable() -> dict[str, set[str]]:
    """Return every name that a query can hold -> its labels."""
    return {
        name + suffix: {*labels, *(QUERY_LABELS if suffix == "_bucket" else ())}
        for name, (kind, labels, _) in described().items()
        for suffix in SUFFIXES[kind]
    }


def expressions() -> dict[str, str]:
    """Return place -> expression, of the dashboard and of the rules."""
    board = json.loads(DASHBOARD.read_text())
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in board["panels"]
        for target in panel["targets"]
    }
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found[f"${variable['name']}"] = variable["definition"]
    rules: Any = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    for group in rules["groups"]:
        found |= {rule["alert"]: rule["expr"] for rule in group["rules"]}
    return found


@pytest.mark.parametrize("place", expressions())
def test_an_expression_names_only_what_there_is(place: str) -> None:
    text = expressions()[place]
    known = queryable()
    names = re.findall(r"\b(?:homeroom|process|python|bentoml|http)_\w+", text)
    assert names
    assert set(names) <= set(known), place
    own = set().union(*(known[name] for name in names))
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", text))
    for inner in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", text):
        labels |= {label.strip() for label in inner.split(",")}
    labels |= set(re.findall(r"label_values\(\w+, (\w+)\)", text))
    assert labels <= own, place
    assert text.count("(") == text.count(")")


def test_legends_and_alerts_name_labels_that_there_are() -> None:
    labels = {label for own in queryable().values() for label in own}
    texts = DASHBOARD.read_text() + (PROMETHEUS / "alerts.yml").read_text()
    assert set(re.findall(r"{{\s*(?:\$labels\.)?(\w+)\s*}}", texts)) <= labels


def test_a_real_service_shows_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    body = json.dumps(reference().to_json()).encode()
    write_bundle(tmp_path / "bundle", extra={"reference.json": body})
    live = go_live(ServiceSettings(), tmp_path / "bundle")
    server, metrics, registry = asked(live, [("/predict", request_of(4), "s-1")])
    server.status_folder = tmp_path
    said = {"effect": 0.1, "threshold": 0.2, "index": 0.0, "alarm": 0.0, "windows": 1.0}
    quality = {"r": {"qwk": {"value": 0.7, "n": 40}}}
    (tmp_path / LAST_WATCH).write_text(json.dumps({"release": "r", "shown": {"a": said}, "quality": quality}))
    Reporter(server, metrics).report()
    metrics.refusal(401)
    metrics.fallback("r")
    metrics.shadow("r", "compared", 0.1)
    metrics.swap("r")
    metrics.failed_load("r")
    Observer(metrics).observed(Observed(route="/predict", live=live))
    text = prometheus_client.generate_latest(registry).decode()
    shown = {
        match[1]: set(re.findall(r'(\w+)="', match[2] or ""))
        for match in re.finditer(r"^(homeroom_\w+)(?:{(.*)})? ", text, re.M)
    }
    for name, labels in queryable().items():
        assert name in shown, name
        assert shown[name] == labels, name


def test_every_metric_is_on_the_reference_page_with_its_labels() -> None:
    rows = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text.strip())
        for name, kind, labels, text in re.findall(
            r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M
        )
    }
    expected = {
        name + (SUFFIXES[kind][0] if kind == "counter" else ""): (kind, labels, text)
        for name, (kind, labels, text) in described().items()
    }
    assert rows == expected


def test_the_board_is_whole_and_prometheus_reads_its_rules() -> None:
    board = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"\$(?!__)(\w+)\b", DASHBOARD.read_text())) | set(
        re.findall(r"\${(\w+)}", DASHBOARD.read_text())
    )
    assert used == {variable["name"] for variable in board["templating"]["list"]}
    config: Any = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert [(PROMETHEUS / name).is_file() for name in config["rule_files"]] == [True]
    assert config["scrape_configs"][0]["metrics_path"] == "/metrics"


def test_a_drift_alerts_only_while_its_release_serves() -> None:
    """The watch may have ended with the release: what it last said stays in the workers' files."""
    serves = 'and on (release) (max by (release) (homeroom_live_workers{slot="champion"}) > 0)'
    found = {place: text for place, text in expressions().items() if "homeroom_drift_alarm" in text}
    assert len(found) == 2  # a rule and a panel
    for place, text in found.items():
        assert text.endswith(f" > 0 {serves}"), place
