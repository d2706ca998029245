"""What a stage is: a plain function with a mark that says what counts in its key, and what it is given to work with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from components.app import Application
from components.artifacts import Artifact, Lineage, Ref
from components.secrets import SecretKey
from components.signing import SigningKey
from components.store import Store

P = ParamSpec("P")
A = TypeVar("A", bound=Artifact)
V = TypeVar("V")
PENDING = Ref(uri="", sha256="", bytes=0, media_type="")
"""The reference of a handle that is not published yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """What the runner must know of a stage function."""

    name: str
    libraries: tuple[str, ...]
    uses_application: bool
    uses_pseudonym_key: bool
    uses_signing_key: bool
    also: tuple[str, ...]


_SPECS: dict[Callable[..., Any], StageSpec] = {}


def stage(
    name: str,
    *,
    libraries: Iterable[str] = (),
    uses_application: bool = False,
    uses_pseudonym_key: bool = False,
    uses_signing_key: bool = False,
    also: Iterable[str] = (),
) -> Callable[[Callable[P, A]], Callable[P, A]]:
    """Mark a function as a stage; it stays the plain function that it is.

    Args:
        name: the stage's name in keys, records and on the command line.
        libraries: distributions whose versions change the result.
        uses_application: the stage reads `work.application`; its `*.py` then count as code.
        uses_pseudonym_key: the stage reads `work.pseudonym_key`; the key's id then counts.
        uses_signing_key: the stage reads `work.signing_key`; the key's id then counts.
        also: modules that run but are not imported, such as the main module of a child process.
    """
    spec = StageSpec(
        name=name,
        libraries=tuple(libraries),
        uses_application=uses_application,
        uses_pseudonym_key=uses_pseudonym_key,
        uses_signing_key=uses_signing_key,
        also=tuple(also),
    )

    def mark(function: Callable[P, A]) -> Callable[P, A]:
        _SPECS[function] = spec
        return function

    return mark


def spec_of(function: Callable[..., Any]) -> StageSpec:
    """Return what `@stage` was told about `function`.

    Raises:
        TypeError: it is no stage.
    """
    try:
        return _SPECS[function]
    except KeyError:
        raise TypeError(f"{getattr(function, '__name__', function)!r} is no stage; mark it with @stage.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a stage is given beside its inputs: the store, an empty folder, and what it declared to use."""

    store: Store
    scratch: Path
    """An empty folder; write here, then `publish` what is below a folder of it."""
    lineage: Lineage
    key: str
    say: Callable[[str], None]
    """Shows one line of progress. Never give it a student's text or id."""
    _application: Application | None
    _pseudonym_key: SecretKey | None
    _signing_key: SigningKey | None

    @property
    def application(self) -> Application:
        """The application; declare `uses_application` to read it."""
        return _declared(self._application, "application")

    @property
    def pseudonym_key(self) -> SecretKey:
        """The key of student pseudonyms; declare `uses_pseudonym_key` to read it."""
        return _declared(self._pseudonym_key, "pseudonym_key")

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs releases; declare `uses_signing_key` to read it."""
        return _declared(self._signing_key, "signing_key")

    @property
    def job_folder(self) -> Path:
        """A folder that belongs to this key and outlives a killed process: checkpoints go here."""
        return self.store.job_folder(job_name(self.lineage.stage, self.key))

    def output(self, name: str = "out") -> Path:
        """Make and return an empty folder below `scratch`."""
        folder = self.scratch / name
        folder.mkdir(parents=True)
        return folder

    def folder(self, artifact: Artifact) -> Path:
        """Return a local folder with the verified files of an input."""
        return self.store.folder(artifact)

    def publish(self, draft: A, folder: Path) -> A:
        """Publish the files below `folder` and return the finished handle. Make the draft with `ref=PENDING`."""
        return self.store.publish(draft, folder)


def job_name(stage_name: str, key: str) -> str:
    """Return the name of the job folder and of the lock that belong to one key of a stage."""
    return f"{stage_name}-{key[:32]}"


def _declared(value: V | None, name: str) -> V:
    if value is None:
        raise TypeError(f"This stage did not declare uses_{name}; add it to @stage, so that it counts in the key.")
    return value
