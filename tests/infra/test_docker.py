"""Image, compose file and systemd unit name what exists; checked without an engine, and by docker compose too."""

import configparser
import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prefect.settings import Settings as PrefectSettings
from pydantic import BaseModel

from flows.__main__ import COMMANDS, LazyGroup, cli
from flows.cli.keys import default_file
from flows.installation.children import workers_of
from flows.installation.file import MachinePlan, read_plan
from flows.installation.places import TRAIN_LIMIT, resolve
from flows.installation.prepare import check_plans
from flows.installation.running import SERVER_GRACE_S, SERVICE_GRACE_S

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "infra" / "docker"
ONCE = {"prepare"}
"""Containers that end when their work is done."""
PASSED_ON = {"AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL"}
"""What botocore reads."""


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, continued lines joined, comments left out."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def words_of(command: list[str]) -> list[str]:
    """Return the words of what a container runs in the end, also behind `sh -c "NAME=... exec ..."`."""
    if command[:2] != ["sh", "-c"]:
        return command
    return shlex.split(command[2].partition(" exec ")[2].replace("$$", "$"))


def settings_of(model: type[BaseModel]) -> Iterator[str]:
    """Yield the names of environment variables that a settings class reads, those of its parts too."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_of(field.annotation)
        else:
            yield f"{model.model_config.get('env_prefix', '')}{name}".upper()


def known_variables() -> set[str]:
    """Return the names of HOMEROOM_ variables that some source reads or sets, and all of Prefect's settings."""
    found = set(settings_of(PrefectSettings))
    for package in ("flows", "components", "serving"):
        for path in (ROOT / package).rglob("*.py"):
            found |= set(re.findall(r"HOMEROOM_[A-Z0-9_]+", path.read_text(encoding="utf-8")))
    return found


def test_every_file_that_is_copied_exists_and_is_sent_to_the_engine() -> None:
    sent = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert sent[0] == "*"
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    assert copied
    for source in (one for sources in copied for one in sources):
        assert (ROOT / source).exists(), source
        assert f"!{source.split('/')[0]}" in sent, source


def test_torch_is_installed_first_and_with_a_choice() -> None:
    pips = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert pips[0].endswith('${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch')
    assert pips[1].endswith(" .")
    assert all("-c constraints.txt" in one for one in pips)
    assert ("ARG", 'TORCH_INDEX=""') in instructions()
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8") + (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    hosts = set(re.findall(r"https?://([^/\s:'\"]+)", text))
    assert hosts <= {"127.0.0.1", "prefect"}, "no registry is named"


def test_the_image_runs_as_nobody_in_particular() -> None:
    [(_, user)] = [one for one in instructions() if one[0] == "USER"]
    assert user != "root"
    assert int(user) > 999
    made = next(rest for word, rest in instructions() if word == "RUN" and "useradd" in rest)
    assert f"--uid {user}" in made
    assert sum(word == "FROM" for word, _ in instructions()) == 2


def test_the_image_s_variables_exist() -> None:
    named = {name for word, rest in instructions() if word == "ENV" for name in re.findall(r"([A-Z_]+)=", rest)}
    ours = {name for name in named if name.startswith(("HOMEROOM_", "PREFECT_"))}
    assert {"HOMEROOM_STORE", "HOMEROOM_KEYS", "PREFECT_HOME"} <= ours <= known_variables()


def test_every_container_s_variables_exist_and_hold_no_secret(compose: Any) -> None:
    known = known_variables() | PASSED_ON
    for name, service in compose["services"].items():
        if name == "postgres":
            continue
        for variable, value in service.get("environment", {}).items():
            assert variable in known, f"{name}: {variable}"
            assert not re.search("SECRET|PASSWORD|TOKEN", variable), f"{name}: secrets are files"
            if str(value).startswith("/run/secrets/"):
                assert str(value).removeprefix("/run/secrets/") in service["secrets"], f"{name}: {variable}"
    assert compose["services"]["north-worker"]["environment"]["HOMEROOM_TRAIN_LIMIT"] == TRAIN_LIMIT


def test_every_container_is_closed_and_watched(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service, name
        assert ("healthcheck" in service) == (name not in ONCE), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is for everybody"
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"], name
            assert service["build"]["dockerfile"] == "infra/docker/Dockerfile"
            assert (DOCKER / service["build"]["context"]).resolve() == ROOT


def test_what_containers_refer_to_is_there(compose: Any) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.removeprefix("${NORTH_LOGS:-./logs}").partition(":")[0]
            if source.startswith("./"):
                assert (DOCKER / source).exists(), f"{name}: {source}"
            elif source:
                assert source in compose["volumes"], f"{name}: {source}"
        assert set(service["networks"]) <= set(compose["networks"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        for other, how in service.get("depends_on", {}).items():
            other_has_check = "healthcheck" in compose["services"][other]
            assert how["condition"] == ("service_healthy" if other_has_check else "service_completed_successfully")
    assert all(one["file"].startswith("./secrets/") for one in compose["secrets"].values())


def test_every_command_exists_and_listens_where_its_check_asks(compose: Any) -> None:
    for name, service in compose["services"].items():
        if name == "postgres":
            continue
        words = words_of(service["command"])
        if words[0] == "homeroom":
            assert words[1] in COMMANDS
            command = LazyGroup.get_command(cli, click.Context(cli), words[1])
            assert command is not None
            command.make_context(words[1], words[2:])  # refuses options that there are not
        elif words[0] == "python":
            assert words[1] == "-m"
            assert importlib.util.find_spec(words[2]) is not None
        else:
            assert words[:3] in (["prefect", "server", "start"], ["prefect", "worker", "start"])
        if "healthcheck" in service:
            port = re.search(r"127\.0\.0\.1:(\d+)/", service["healthcheck"]["test"][-1])
            assert port is not None
            listens = [*words, service["environment"].get("PREFECT_WORKER_WEBSERVER_PORT", "")]
            assert port[1] in listens, name
            assert all(p.endswith(f":{port[1]}") for p in service.get("ports", []))


def mounts_of(service: Any) -> dict[str, tuple[str, bool]]:
    """Return what a container mounts: folder in the container -> volume or folder outside, and whether to write."""
    parts = [re.sub(r"\$\{[^}]*\}", "x", volume).split(":") for volume in service.get("volumes", [])]
    return {inside: (source, "ro" not in options) for source, inside, *options in parts}


def mount_of(service: Any, path: str) -> tuple[str, bool]:
    """Return what a path in a container lies in."""
    mounts = mounts_of(service)
    return next(mounts[str(one)] for one in Path(path).parents if str(one) in mounts)


def test_a_service_that_supervises_itself_may_write_to_its_store(compose: Any) -> None:
    services = [one for one in compose["services"].values() if one.get("command", [])[:2] == ["homeroom", "serve"]]
    assert services
    for service in services:
        place = service["environment"]["HOMEROOM_STORE"].removeprefix("${NORTH_STORE:-").removesuffix("}")
        _, writes = mount_of(service, place)
        assert writes == ("--no-supervise" not in service["command"]), place


def test_access_keys_are_in_a_folder_that_another_container_edits(
    compose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file mounted by itself stays the old one when `homeroom keys revoke` replaces it."""
    ours = [one for one in compose["services"].values() if "HOMEROOM_KEYS" in one.get("environment", {})]
    places = []
    for service in ours:
        for name in ("HOMEROOM_KEYS", "HOMEROOM_SERVE_KEYS"):
            monkeypatch.delenv(name, raising=False)
            if name in service["environment"]:
                monkeypatch.setenv(name, service["environment"][name])
        places.append(str(default_file()))  # what `homeroom serve` and `homeroom keys` take in this container
    serving = [index for index, one in enumerate(ours) if one["command"][:2] == ["homeroom", "serve"]]
    assert serving
    for index in serving:
        place = places[index]
        assert not place.startswith("/run/secrets/"), "a secret is a file that is mounted by itself"
        volume, writes = mount_of(ours[index], place)
        assert volume in compose["volumes"]
        assert not writes, "who is let in is not the service's own to say"
        others = [one for one, theirs in zip(ours, places, strict=True) if theirs == place and one is not ours[index]]
        assert (volume, True) in [mount_of(one, place) for one in others]


def test_the_worker_is_the_one_that_up_starts(compose: Any) -> None:
    file = DOCKER / "homeroom.toml"
    installation = resolve(read_plan(file), file)
    check_plans(installation)
    [worker] = workers_of(installation)
    command = compose["services"]["north-worker"]["command"]
    assert command[: len(worker.command) - 2] == list(worker.command[2:])
    assert command[len(worker.command) - 2 :] == ["--with-healthcheck"]
    assert (
        f"./{file.name}:{compose['services']['prepare']['command'][-1]}:ro" in compose["services"]["prepare"]["volumes"]
    )


def test_the_unit_starts_what_exists_and_gives_it_time_to_stop() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    unit.read(ROOT / "infra" / "systemd" / "homeroom.service", encoding="utf-8")
    service = unit["Service"]
    words = shlex.split(service["ExecStart"])
    assert Path(words[0]).name == "homeroom"
    command = LazyGroup.get_command(cli, click.Context(cli), words[1])
    assert command is not None
    command.make_context(words[1], words[2:])
    assert service["KillMode"] == "mixed", "systemd must not end the stages at once"
    longest = SERVICE_GRACE_S + MachinePlan().grace_s + SERVER_GRACE_S
    assert int(service["TimeoutStopSec"]) > longest + 30
    assert service["User"] != "root"


def test_docker_reads_the_compose_file_as_we_do(compose: Any, tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no docker compose here")
    shown = subprocess.run(
        [docker, "compose", "--file", str(DOCKER / "compose.yaml"), "config"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert set(yaml.safe_load(shown.stdout)["services"]) == set(compose["services"])
