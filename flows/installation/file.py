"""`homeroom.toml`: what an installation consists of, read strictly. It holds paths to secrets, never a secret."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from components.config import config_class, make_config
from components.errors import ConfigError
from components.ingest.addresses import secret_in
from flows.installation.probes import Patience

FILE_NAME = "homeroom.toml"
RUN_TIMEOUT_S = 86_400.0
"""A day, as long as a training alone may take."""
DISTRICT_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_SECRET_NAME = re.compile(r"secret|passw|token|credential|access_key_id|api_key|pseudonym_key|signing_key", re.I)
_SECRET_VALUE = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}|[0-9a-fA-F]{32,}")


@config_class
class ApplicationPlan:
    """One application of one district: what it learns from and when, and where it is served."""

    data: tuple[str, ...] = ()
    """Files, folders, globs or URLs of raw logs, as `homeroom run --data` takes them."""
    test_data: tuple[str, ...] = ()
    valid_data: tuple[str, ...] = ()
    teacher_overrides: tuple[str, ...] = ()
    config: str = "small"
    """Name of a configuration of the application, or path of a TOML file."""
    set: tuple[str, ...] = ()
    """`section.key=value`, as `homeroom run --set` takes them."""
    cron: str | None = None
    """When it runs: minute hour day month weekday. Without it, it runs by hand alone."""
    timezone: str = "UTC"
    port: int | None = None
    """Where it is served. Without it, it is not."""
    host: str = "127.0.0.1"
    workers: int = 1
    """Worker processes of its service."""
    access_keys: str | None = None
    """File of the clients' keys (`homeroom keys`). A host that others can reach needs one."""
    tls_cert: str | None = None
    tls_key: str | None = None
    watch: bool = False
    """Whether the service is watched for drift, which starts the training again."""

    def __post_init__(self) -> None:
        if self.cron is not None and not self.data:
            raise ValueError("cron is given, but no data; name what it learns from: data = [...].")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"port = {self.port}: expected 1 to 65535.")
        if not 1 <= self.workers <= 64:
            raise ValueError(f"workers = {self.workers}: expected 1 to 64.")
        if self.watch and self.port is None:
            raise ValueError("watch = true, but there is no port, and so no service to watch; give it one.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together; give both files or none.")
        if self.host not in {"127.0.0.1", "localhost", "::1"} and self.access_keys is None:
            raise ValueError(
                f"host = {self.host!r} can be reached from other machines, and access_keys names no file of clients' "
                "keys. Make one (`homeroom keys`), or serve on 127.0.0.1."
            )


@config_class
class DistrictPlan:
    """One district: a place for each of its things, which no other district may share."""

    store: str | None = None
    """A folder or an fsspec URL; by default a folder in the installation's state folder, as the other places are."""
    cache: str | None = None
    keys: str | None = None
    """Folder of its secret keys."""
    overrides: str | None = None
    """Folder of its teachers' overrides."""
    environment: str | None = None
    """File of NAME=VALUE lines that only this district's processes see, such as AWS_ACCESS_KEY_ID; mode 0600."""
    runs: int = 1
    """Most runs at once."""
    memory_gib: float | None = None
    """Most memory that one process of a run may take for its data."""
    run_timeout_s: float = RUN_TIMEOUT_S
    """Longest time that one run may take, waiting for a slot included."""
    applications: Mapping[str, ApplicationPlan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise ValueError(f"runs = {self.runs}: expected 1 or more.")
        if not self.run_timeout_s >= 1:
            raise ValueError(f"run_timeout_s = {self.run_timeout_s:g}: expected 1 second or more.")
        if self.memory_gib is not None and self.memory_gib <= 0:
            raise ValueError(f"memory_gib = {self.memory_gib:g}: expected more than 0.")


@config_class
class MachinePlan:
    """What all districts of the machine share: the Prefect server and its limits."""

    state: str | None = None
    """Folder of the server's database, the logs and what runs now."""
    prefect_port: int = 4200
    trainings: int = 1
    """Most trainings at once, over all districts."""
    grace_s: float = 60.0
    """How long running stages may go on once the installation is told to stop."""
    probe_s: float = 10.0
    """How often each service is asked whether it works, and how long it may take to answer."""
    probe_misses: int = 3
    """A service that misses so many answers in a row hangs, and is started again. 0: none is asked."""
    probe_start_s: float = 300.0
    """How long a service may take from its start to its first answer."""

    @property
    def patience(self) -> Patience | None:
        """When a service is taken for hung; None: never."""
        if not self.probe_misses:
            return None
        return Patience(every_s=self.probe_s, misses=self.probe_misses, start_s=self.probe_start_s)

    def __post_init__(self) -> None:
        if not 1 <= self.prefect_port <= 65535:
            raise ValueError(f"prefect_port = {self.prefect_port}: expected 1 to 65535.")
        if self.trainings < 1:
            raise ValueError(f"trainings = {self.trainings}: expected 1 or more.")
        if self.grace_s < 0:
            raise ValueError(f"grace_s = {self.grace_s:g}: expected 0 or more.")
        if not self.probe_s >= 0.1:
            raise ValueError(f"probe_s = {self.probe_s:g}: expected 0.1 or more.")
        if self.probe_misses < 0:
            raise ValueError(f"probe_misses = {self.probe_misses}: expected 0 (no service is asked) or more.")
        if not self.probe_start_s >= 0:
            raise ValueError(f"probe_start_s = {self.probe_start_s:g}: expected 0 or more.")


@config_class
class InstallationPlan:
    """The whole file."""

    districts: Mapping[str, DistrictPlan]
    installation: MachinePlan = MachinePlan()


def default_file() -> Path | None:
    """Return `homeroom.toml` of the current folder, else of the user's configuration folder, else None."""
    for folder in (Path.cwd(), user_config_path("homeroom")):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def read_plan(path: Path) -> InstallationPlan:
    """Return what the file says.

    Raises:
        ConfigError: it cannot be read, holds a secret, or says something that makes no sense; all of it is listed,
            and no secret is repeated.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Name the installation's file: --file.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name} is no UTF-8, which TOML has to be. Save it again as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:  # without the line: it may be one that holds a secret
        raise ConfigError(f"{path.name} is no valid TOML: {error}. Correct that place; texts need quotes.") from None
    secrets = list(_secrets(values, ""))
    if secrets:
        lines = "\n".join(f"  - {one}" for one in secrets)
        raise ConfigError(
            f"{path.name} must hold no secrets:\n{lines}\nPut variables such as AWS_SECRET_ACCESS_KEY into a file of "
            'mode 0600 and name it: environment = "FILE". Keys belong into the district\'s folder keys.'
        )
    plan = make_config(InstallationPlan, values, source=path.name)
    wrong = [f"districts.{name}" for name in plan.districts if DISTRICT_NAME.fullmatch(name) is None]
    if wrong or not plan.districts:
        raise ConfigError(
            f"{path.name}: {', '.join(wrong) or 'no district'}; expected at least one section [districts.NAME], NAME "
            "of small letters, digits and dashes that begins with a letter, 31 at most."
        )
    return plan


def paths_of(plan: ApplicationPlan) -> Iterator[str]:
    """Yield the names of the files of an application's section that must be there, as they are written."""
    for name in ("access_keys", "tls_cert", "tls_key"):
        if (value := getattr(plan, name)) is not None:
            yield value


def _secrets(value: Any, path: str) -> Iterator[str]:  # Any: walks parsed TOML
    """Yield a sentence for each secret, with its place and without it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            at = f"{path}.{key}" if path else str(key)
            if _SECRET_NAME.search(str(key)):
                yield f"{at}: the name is that of a secret"
            else:
                yield from _secrets(inner, at)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _secrets(inner, f"{path}[{number}]")
    elif isinstance(value, str):
        if _SECRET_VALUE.fullmatch(value):
            yield f"{path}: the value looks like a key"
        elif (found := secret_in(value)) is not None:
            yield f"{path}: {found}"
