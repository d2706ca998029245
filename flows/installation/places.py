"""An installation with every path resolved, its districts apart, and the environment of each district's processes."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_state_path

from components.errors import ConfigError
from flows.installation.file import (
    RUN_TIMEOUT_S,
    ApplicationPlan,
    DistrictPlan,
    InstallationPlan,
    MachinePlan,
    paths_of,
)
from flows.request import RunRequest
from flows.settings import Settings

TRAIN_LIMIT = "homeroom-train"
"""Prefect's global concurrency limit that every training of the installation takes a slot of."""
OWN = (
    *("HOMEROOM_STORE", "HOMEROOM_CACHE", "HOMEROOM_KEYS", "HOMEROOM_OVERRIDES"),
    *("HOMEROOM_TRAIN_LIMIT", "HOMEROOM_RUN_TIMEOUT_S"),
)
_NOT_IN_FILES = (*OWN, "HOMEROOM_SERVER", "PREFECT_API_URL", "PREFECT_HOME", "PYTHONPATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class District:
    """One district's places; all absolute."""

    name: str
    store: str
    cache: Path
    keys: Path
    overrides: Path
    runs: int = 1
    memory_gib: float | None = None
    run_timeout_s: float = RUN_TIMEOUT_S
    applications: Mapping[str, ApplicationPlan] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of its environment file."""
    base: Path = field(default_factory=Path.cwd)
    """Folder that relative paths of its applications' sections are meant from."""

    @property
    def pool(self) -> str:
        """Return the name of its work pool."""
        return f"homeroom-{self.name}"

    def deployment(self, application: str) -> str:
        """Return the name of the deployment of one of its applications."""
        return f"{self.name}-{application}"

    def request(self, application: str) -> RunRequest:
        """Return what a scheduled run of an application is asked."""
        plan = self.applications[application]
        return RunRequest(
            application=application,
            data=tuple(self._at(name) for name in plan.data),
            test_data=tuple(self._at(name) for name in plan.test_data),
            valid_data=tuple(self._at(name) for name in plan.valid_data),
            teacher_overrides=tuple(self._at(name) for name in plan.teacher_overrides),
            config=self._at(plan.config) if plan.config.endswith(".toml") else plan.config,
            overrides=plan.set,
        )

    def file(self, name: str) -> Path:
        """Return the absolute path of a file that an application's section names."""
        return Path(self._at(name))

    def _at(self, name: str) -> str:
        return name if "://" in name else str((self.base / Path(name).expanduser()).absolute())


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What `homeroom up` runs."""

    machine: MachinePlan
    state: Path
    districts: tuple[District, ...]
    file: Path | None = None

    @property
    def api_url(self) -> str:
        """Return the address of its Prefect server, which only this machine can reach."""
        return f"http://127.0.0.1:{self.machine.prefect_port}/api"


def resolve(plan: InstallationPlan, file: Path) -> Installation:
    """Return the installation that a file describes; paths are relative to the file's folder.

    Raises:
        ConfigError: two districts share a place or a port, or a file that is named is missing or open to others; all
            of it is listed.
    """
    base = file.absolute().parent
    state = _path(plan.installation.state, base, user_state_path("homeroom"))
    problems: list[str] = []
    found = []
    for name, one in plan.districts.items():
        home = state / "districts" / name
        found.append(
            District(
                name=name,
                store=one.store if one.store and "://" in one.store else str(_path(one.store, base, home / "store")),
                cache=_path(one.cache, base, home / "cache"),
                keys=_path(one.keys, base, home / "keys"),
                overrides=_path(one.overrides, base, home / "overrides"),
                runs=one.runs,
                memory_gib=one.memory_gib,
                run_timeout_s=one.run_timeout_s,
                applications=one.applications,
                secrets=_read_environment(one, name, base, problems),
                base=base,
            )
        )
    problems += _shared_places(found) + _ports(found, plan.installation.prefect_port) + _missing_files(found)
    if problems:
        lines = "\n".join(f"  - {one}" for one in problems)
        raise ConfigError(f"{file.name} has {len(problems)} problem(s):\n{lines}")
    return Installation(machine=plan.installation, state=state, districts=tuple(found), file=file.absolute())


def without_file(settings: Settings, served: Mapping[str, int], state: Path | None = None) -> Installation:
    """Return the installation of a machine that has no file: one district with the places of the environment.

    Args:
        settings: the environment's.
        served: port by application.
        state: its state folder; by default the user's.
    """
    district = District(
        name="default",
        store=settings.store,
        cache=settings.cache,
        keys=settings.keys,
        overrides=settings.overrides,
        applications={name: ApplicationPlan(port=port) for name, port in served.items()},
        secrets={
            f"HOMEROOM_{name.upper()}": key.get_secret_value()
            for name in ("pseudonym_key", "signing_key")
            if (key := getattr(settings, name)) is not None
        },
    )
    folder = user_state_path("homeroom") if state is None else state
    return Installation(machine=MachinePlan(), state=folder.absolute(), districts=(district,))


def environment_of(
    installation: Installation, district: District, outer: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return all variables of a district's processes: its own places and secrets, and no other district's.

    Of the starter's own variables Prefect's are left out, and, where a file says what the districts have, homeroom's
    (see `unheard`); with several districts also AWS's, since they would be one district's rights in the hands of all.
    """
    given = dict(os.environ if outer is None else outer)
    cloud = ("AWS_",) if len(installation.districts) > 1 else ()
    kept = {
        name: value
        for name, value in given.items()
        if not name.startswith(("PREFECT_", *cloud)) and not (installation.file and _is_a_districts(name))
    }
    if "PREFECT_API_AUTH_STRING" in given:
        kept["PREFECT_API_AUTH_STRING"] = given["PREFECT_API_AUTH_STRING"]
    return {
        **kept,
        **district.secrets,
        "HOMEROOM_STORE": district.store,
        "HOMEROOM_CACHE": str(district.cache),
        "HOMEROOM_KEYS": str(district.keys),
        "HOMEROOM_OVERRIDES": str(district.overrides),
        "HOMEROOM_TRAIN_LIMIT": TRAIN_LIMIT,
        "HOMEROOM_RUN_TIMEOUT_S": f"{district.run_timeout_s:g}",
        "PREFECT_API_URL": installation.api_url,
        "PREFECT_HOME": str(installation.state / "districts" / district.name / "prefect"),
        "PREFECT_LOGGING_LEVEL": "INFO",
    }


def unheard(installation: Installation, outer: Mapping[str, str] | None = None) -> list[str]:
    """Return the names of homeroom's variables that are set here and that no district hears of, as a file rules."""
    given = os.environ if outer is None else outer
    return sorted(name for name in given if installation.file and _is_a_districts(name))


def _is_a_districts(name: str) -> bool:
    return name.startswith("HOMEROOM_") and not name.startswith("HOMEROOM_S3_")


def server_environment(installation: Installation, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return all variables of the Prefect server: no district's, and its own home."""
    given = os.environ if outer is None else outer
    kept = {
        name: value
        for name, value in given.items()
        if not name.startswith(("HOMEROOM_", "AWS_")) and name not in {"PREFECT_API_URL", "PREFECT_PROFILE"}
    }
    return {**kept, "PREFECT_HOME": str(installation.state / "prefect"), "PREFECT_LOGGING_LEVEL": "WARNING"}


def _path(given: str | None, base: Path, default: Path) -> Path:
    return default.absolute() if given is None else (base / Path(given).expanduser()).absolute()


def _read_environment(plan: DistrictPlan, name: str, base: Path, problems: list[str]) -> dict[str, str]:
    """Return the variables of a district's environment file; what is wrong goes to `problems`, without any value."""
    if plan.environment is None:
        return {}
    path, at = _path(plan.environment, base, base), f"districts.{name}.environment"
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        problems.append(f"{at}: {path} cannot be read as a text; name a file of NAME=VALUE lines.")
        return {}
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        problems.append(f"{at}: others may read {path}, which holds secrets; chmod 600 {path}")
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        key, sign, value = word.partition("=")
        if not sign or not key.isidentifier():
            problems.append(f"{at}: line {number} of {path} is no NAME=VALUE.")
        elif key in _NOT_IN_FILES:
            problems.append(f"{at}: line {number} of {path} sets {key}, which homeroom.toml says; leave it out.")
        else:
            found[key] = value.strip().strip("\"'")
    return found


def _shared_places(districts: list[District]) -> list[str]:
    """Return a sentence for every two districts that share a place, or of which one's lies in another's."""
    wrong = []
    places = [
        (one.name, kind, place.rstrip("/") if "://" in place else os.path.realpath(place))
        for one in districts
        for kind, place in (
            ("store", one.store),
            ("keys", str(one.keys)),
            ("cache", str(one.cache)),
            ("overrides", str(one.overrides)),
        )
    ]
    for number, (name, kind, place) in enumerate(places):
        for other, other_kind, other_place in places[:number]:
            if other != name and f"{place}/".startswith(f"{other_place}/") | f"{other_place}/".startswith(f"{place}/"):
                wrong.append(
                    f"districts.{name}.{kind} is {place}, which districts.{other}.{other_kind} shares; give each "
                    "district places of its own."
                )
    return wrong


def _ports(districts: list[District], prefect_port: int) -> list[str]:
    taken = {prefect_port: "installation.prefect_port"}
    wrong = []
    for one in districts:
        for name, plan in one.applications.items():
            at = f"districts.{one.name}.applications.{name}.port"
            if plan.port is not None and (other := taken.setdefault(plan.port, at)) != at:
                wrong.append(f"{at} = {plan.port} is {other}, too; give each its own.")
    return wrong


def _missing_files(districts: list[District]) -> list[str]:
    return [
        f"districts.{one.name}.applications.{name}: there is no file {one.file(path)}."
        for one in districts
        for name, plan in one.applications.items()
        for path in paths_of(plan)
        if not one.file(path).is_file()
    ]
