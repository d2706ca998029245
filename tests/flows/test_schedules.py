"""Schedules: what needs no server. The rest is in test_prefect.py."""

from dataclasses import replace

from flows.request import RunRequest
from flows.schedules import schedule_name


def test_each_store_and_request_has_a_deployment_of_its_own() -> None:
    one = RunRequest(application="knowledge_tracing", data=("a.csv",))
    other = replace(one, data=("b.csv",))
    names = [schedule_name(one, "/a"), schedule_name(one, "/b"), schedule_name(other, "/a")]
    assert len(set(names)) == 3
    assert schedule_name(one, "/a") == names[0]
    assert all(name.startswith("knowledge_tracing-") for name in names)
