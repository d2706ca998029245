"""The Prefect deployment file names what exists."""

import inspect
from pathlib import Path

import yaml

from components.app import load_application
from flows.installation.places import TRAIN_LIMIT
from flows.schedules import check_schedule
from flows.tasks import application_flow

ROOT = Path(__file__).resolve().parents[2]


def test_its_entrypoint_parameters_and_schedules_exist() -> None:
    plan = yaml.safe_load((ROOT / "infra" / "prefect" / "prefect.yaml").read_text(encoding="utf-8"))
    for deployment in plan["deployments"]:
        path, _, name = deployment["entrypoint"].partition(":")
        assert (ROOT / path).is_file()
        assert application_flow.fn.__name__ == name
        parameters = deployment["parameters"]
        assert set(parameters) <= set(inspect.signature(application_flow.fn).parameters)
        application = load_application(parameters["application"])
        assert parameters["config"] in application.configurations()
        for schedule in deployment["schedules"]:
            check_schedule(schedule["cron"], schedule["timezone"])


def test_its_names_and_limits_are_those_of_up() -> None:
    plan = yaml.safe_load((ROOT / "infra" / "prefect" / "prefect.yaml").read_text(encoding="utf-8"))
    places = []
    for deployment in plan["deployments"]:
        district, _, application = deployment["name"].partition("-")
        assert application == deployment["parameters"]["application"]
        assert deployment["tags"] == [f"district:{district}"]
        assert deployment["work_pool"]["name"] == f"homeroom-{district}"
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
        variables = deployment["work_pool"]["job_variables"]["env"]
        assert variables["HOMEROOM_TRAIN_LIMIT"] == TRAIN_LIMIT
        places.append(variables["HOMEROOM_STORE"])
    assert len(set(places)) == len(places), "districts share nothing"
    [step] = plan["pull"]
    assert "prefect.deployments.steps.set_working_directory" in step
