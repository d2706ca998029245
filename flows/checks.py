"""What `homeroom doctor` checks: the known traps of an installation, each with its remedy."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from packaging.specifiers import SpecifierSet

from components.code import FIRST_PARTY
from components.errors import ConfigError, PipelineError
from components.secrets import SecretKey
from components.signing import SigningKey
from flows.settings import SIGNING_FILE, Settings

PINNED = (
    ("prefect", ">=3.8.8,<4", "pip install 'prefect>=3.8.8,<4'"),
    ("fastapi", "<0.155", "prefect 3.8.8 starts no flow with a newer one: pip install 'fastapi<0.155'"),
    ("sqlalchemy", ">=2.0,<2.1", "prefect 3.8.8 never creates scheduled runs with 2.1: pip install 'sqlalchemy<2.1'"),
    ("torch", ">=2.11", "pip install 'torch>=2.11'"),
    ("onnx", ">=1.20", "pip install 'onnx>=1.20'"),
    ("onnxscript", ">=0.6", "torch.onnx.export needs it: pip install onnxscript"),
    ("onnxruntime", ">=1.24", "pip install 'onnxruntime>=1.24'"),
    ("bentoml", ">=1.4.39,<2", "pip install 'bentoml>=1.4.39,<2'"),
    ("polars", ">=2", "pip install 'polars>=2'"),
)
PREFECT_ANSWER_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding."""

    name: str
    ok: bool
    finding: str
    remedy: str = ""


def all_checks(settings: Settings, *, schedules: bool = False, fix: bool = False) -> Iterator[Check]:
    """Yield the checks one after the other, so that a slow one does not hide the others.

    Args:
        settings: the installation's.
        schedules: also start a Prefect server of its own and see whether it creates scheduled runs.
        fix: install at the Prefect server what marks dead runs, where it is missing.
    """
    yield check_python()
    for name, allowed, remedy in PINNED:
        yield check_version(name, allowed, remedy)
    yield from check_import_names()
    yield from check_applications()
    yield check_store(settings)
    yield check_overrides(settings)
    yield check_logs(settings)
    yield from check_keys(settings)
    yield check_prefect()
    if os.environ.get("PREFECT_API_URL"):
        yield check_crash_detection(fix=fix)
    if schedules:
        yield check_schedules()


def check_python() -> Check:
    """Python 3.11 or newer."""
    found = ".".join(map(str, sys.version_info[:3]))
    return Check(name="python", ok=sys.version_info >= (3, 11), finding=found)


def check_version(name: str, allowed: str, remedy: str) -> Check:
    """A distribution is there, in a version that is known to work."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name=name, ok=False, finding="not installed", remedy=remedy)
    good = SpecifierSet(allowed).contains(found, prereleases=True)
    return Check(name=name, ok=good, finding=f"{found} (known to work: {allowed})", remedy="" if good else remedy)


def check_import_names() -> Iterator[Check]:
    """The generic import names flows, components, trainer and serving are homeroom's own here."""
    owners = packages_distributions()
    for name in FIRST_PARTY:
        others = sorted(set(owners.get(name, ())) - {"homeroom"})
        origin = getattr(__import__(name), "__file__", None)
        home = Path(__file__).resolve().parent.parent
        shadowed = origin is not None and home not in Path(origin).resolve().parents
        good = not others and not shadowed
        yield Check(
            name=f"import {name}",
            ok=good,
            finding="homeroom's own" if good else f"also owned by {', '.join(others) or origin}",
            remedy="" if good else "Install homeroom in a virtual environment of its own, or remove the other package.",
        )


def check_applications() -> Iterator[Check]:
    """Every application, those of other distributions too, can be loaded; one that cannot is named with the reason."""
    from components.app import application_names, load_application

    for name in application_names():
        try:
            title = load_application(name).title
        except ConfigError as error:
            remedy = "The other applications work on. `pip uninstall` what it belongs to, or mend it."
            yield Check(name=f"application {name}", ok=False, finding=str(error), remedy=remedy)
        else:
            yield Check(name=f"application {name}", ok=True, finding=title)


def check_store(settings: Settings) -> Check:
    """The store can be written, read and deleted from, and refuses a second writer."""
    try:
        conditional = settings.open_store().probe()
    except PipelineError as error:
        return Check(name="store", ok=False, finding=str(error), remedy="Set HOMEROOM_STORE to a place you may write.")
    return Check(
        name="store",
        ok=conditional,
        finding=f"{settings.store} is writable" + ("" if conditional else ", but ignores conditional writes"),
        remedy=""
        if conditional
        else "Two runs at once could overwrite each other's releases: use a store that honours If-None-Match.",
    )


def check_overrides(settings: Settings) -> Check:
    """No release serves by an override of the gate that has expired."""
    from components.gate.override import today_utc
    from serving.registry import ReleaseRegistry

    name, today = "gate overrides", today_utc()
    try:
        store = settings.open_store()
        applications = sorted({path.split("/")[1] for path in store.list_records("releases")})
        serving = [ReleaseRegistry(store).current(application) for application in applications]
    except PipelineError as error:
        return Check(name=name, ok=False, finding=str(error))
    given = {one.version: one.override for one in serving if one is not None and one.override is not None}
    expired = [version for version, override in given.items() if not override.counts_on(today)]
    said = "; ".join(f"{version}: {override.sentence(today)}" for version, override in given.items())
    return Check(
        name=name,
        ok=not expired,
        finding=said or "no release serves by one",
        remedy="Go back (`homeroom releases APP --rollback`), run again with better data, or give a new override."
        if expired
        else "",
    )


def check_logs(settings: Settings) -> Check:
    """Every application's log of releases is whole: no entry is missing, changed or unreadable."""
    from serving.registry import PointerLog, faults_of

    name, found = "release logs", list[str]()
    try:
        store = settings.open_store()
        for application in sorted({path.split("/")[1] for path in store.list_records("releases")}):
            faults = faults_of(PointerLog(store, application))
            found += [f"{application}: {fault.sentence}" for fault in faults if not fault.is_harmless]
    except PipelineError as error:
        return Check(name=name, ok=False, finding=str(error))
    return Check(
        name=name,
        ok=not found,
        finding="; ".join(found) or "they are whole",
        remedy="Restore records/releases from a backup; what serves is what the last entry says." if found else "",
    )


def check_keys(settings: Settings) -> Iterator[Check]:
    """The secret keys can be read, and by nobody else."""
    keys: tuple[tuple[str, str, Callable[[], SecretKey | SigningKey]], ...] = (
        ("pseudonym", "pseudonym.key", settings.read_pseudonym_key),
        ("signing", SIGNING_FILE, settings.read_signing_key),
    )
    for name, file, read in keys:
        path = settings.keys / file
        try:
            key = read()
        except PipelineError as error:
            yield Check(name=f"{name} key", ok=False, finding=str(error), remedy="Set HOMEROOM_KEYS.")
            continue
        is_open = path.exists() and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
        yield Check(
            name=f"{name} key",
            ok=not is_open,
            finding=f"{key.id}" + (f", but others may read {path}" if is_open else ""),
            remedy=f"chmod 600 {path}" if is_open else "",
        )


def check_prefect() -> Check:
    """The Prefect server that PREFECT_API_URL names answers; without one, runs start their own."""
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        return Check(
            name="prefect server",
            ok=True,
            finding="none set: each run starts its own (10 to 15 s); schedules need one that stays",
            remedy="For schedules: prefect server start, then set PREFECT_API_URL=http://127.0.0.1:4200/api",
        )
    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=PREFECT_ANSWER_S) as answer:
            good = answer.status == 200
    except (URLError, OSError, ValueError) as error:
        return Check(
            name="prefect server",
            ok=False,
            finding=f"{url} does not answer: {error}",
            remedy="Start it (prefect server start) or unset PREFECT_API_URL.",
        )
    return Check(name="prefect server", ok=good, finding=f"{url} answers")


def require_server() -> None:
    """Refuse to go on without a Prefect server that stays and answers.

    Raises:
        ConfigError: PREFECT_API_URL names none, or one that does not answer. A temporary server runs no scheduler, so
            that nothing would ever start.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        raise ConfigError(
            "PREFECT_API_URL is not set: expected the address of a Prefect server that stays, since a temporary one "
            "never starts a scheduled run. Run `prefect server start`, then "
            "`export PREFECT_API_URL=http://127.0.0.1:4200/api`."
        )
    check = check_prefect()
    if not check.ok:
        raise ConfigError(f"The Prefect server is not there: {check.finding}. {check.remedy}")


def check_crash_detection(*, fix: bool = False) -> Check:
    """The Prefect server in use has the automation that marks runs Crashed when their process is gone."""
    from flows import crashes  # late: Prefect takes seconds

    name = "dead runs in prefect"
    try:
        done = fix and crashes.install()
        good = crashes.is_installed()
    except Exception as error:  # whatever Prefect or the way to it raises is the finding
        return Check(
            name=name,
            ok=False,
            finding=f"{type(error).__name__} while the server was asked for its automations",
            remedy="Start the server (prefect server start), or see whether it lets you read automations.",
        )
    return Check(
        name=name,
        ok=good,
        finding=("marked Crashed within 70 s" + (" (just installed)" if done else ""))
        if good
        else "they stay Running: the automation that marks them is not there, or is switched off or changed",
        remedy="" if good else "homeroom doctor --fix",
    )


def check_schedules() -> Check:
    """The Prefect server in use, or a temporary one, creates the runs of a schedule."""
    from prefect.testing.utilities import prefect_test_harness  # late: it takes seconds

    from flows.schedules import scheduled_runs_appear

    try:
        if os.environ.get("PREFECT_API_URL"):
            good = scheduled_runs_appear(temporary_server=False)
        else:
            with prefect_test_harness(server_startup_timeout=120):
                good = scheduled_runs_appear(temporary_server=True)
    except Exception as error:  # whatever Prefect or its database raises is the finding
        return Check(
            name="schedules",
            ok=False,
            finding=f"{type(error).__name__} while a schedule was set",
            remedy="Check the versions of prefect, fastapi and sqlalchemy above.",
        )
    return Check(
        name="schedules",
        ok=good,
        finding="scheduled runs are created" if good else "a schedule was set and no run appeared",
        remedy="" if good else "Check the versions of prefect and sqlalchemy above.",
    )
