"""What an application is: one folder with a codec, data, a model and configurations, found by name.

Light on purpose: serving imports this module too. Heavy parts are named, not imported (`part`).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from components.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt  # numpy takes a tenth of a second that a run with nothing to do can spare

    from components.chain import Chain  # a server needs none

    Arrays = Mapping[str, npt.NDArray[Any]]  # Any: each array has its own dtype

ENTRY_POINTS = "homeroom.apps"


@runtime_checkable
class Codec(Protocol):
    """Request -> arrays -> answer. The class `Codec` of an application's `codec.py`, or of a package instead.

    The codec needs only the standard library and numpy, imports nothing else of ours, and also holds two dataclasses,
    `Request` and `Answer`, from which the service derives its types. A release carries the code itself, so that an
    old release keeps its own reading of a request.
    """

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary and settings as plain JSON values."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value. Raises ValueError for a version that is newer than the code."""

    def encode(self, request: Any) -> Sequence[Any]:  # Any: the application's own Request and rows
        """Return the rows (at least one) that the model must answer for one request.

        Raises ValueError with a sentence for the client when the request makes no sense; never for new values.
        """

    def batch(self, rows: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
        """Return the model's inputs for rows of any number of requests, padded to the longest of them."""

    def decode(self, request: Any, rows: Sequence[Any], outputs: Sequence[Arrays]) -> Any:
        """Return the `Answer` to one request.

        `outputs[i]` belongs to `rows[i]`: the model's outputs with the batch axis taken off (still padded).
        """

    def golden_requests(self, count: int, seed: int) -> Sequence[Any]:
        """Return synthetic requests (no student's data) that cover short, long and unknown input."""


@runtime_checkable
class GradingCodec(Protocol):
    """What a codec has besides when a person looks its answers over and corrects them.

    A release with such a codec is served with a page for teachers, and takes overrides (`components/overrides.py`). Its
    `Request` has `prompt`, `text` and `explain`, its `Answer` what `components/writing/codec` says.
    """

    def grading_prompts(self) -> Sequence[Mapping[str, Any]]:
        """Return, for each prompt, `prompt`, `low`, `high` and `step` of its rubric and `traits`, as plain JSON."""


@runtime_checkable
class GroupCodec(Protocol):
    """What a codec has besides when its releases can map answers by group of students.

    Where `groups` is empty nobody is asked for a group: such a release is as any other.
    """

    @property
    def group_by(self) -> str:
        """The students' attribute that `groups` are values of."""

    @property
    def groups(self) -> Sequence[str]:
        """The groups with a map of their own."""

    @property
    def request_class(self) -> type[Any]:  # Any: the application's own
        """The dataclass of requests, in place of the module's `Request`: where there are groups, with a `group`."""

    def with_groups(self, by: str, groups: Sequence[str]) -> Self:
        """Return a codec that reads these groups."""

    def group_indices(self, groups: Sequence[str | None]) -> npt.NDArray[Any]:
        """Return (N,) the index of each group: 0 for the map for everybody, else 1 + its place in `groups`."""


@runtime_checkable
class MonitoredCodec(Protocol):
    """What a codec has besides when it says by which numbers its requests and answers are watched for drift.

    Without it the numbers in the answer are watched alone (`components/monitoring`).
    """

    def signals(self, request: Any, answer: Mapping[str, Any]) -> Mapping[str, float]:  # Any: as in `Codec`
        """Return numbers by name, of one request and its answer as plain JSON values; few, cheap, and of no text.

        A name may leave out what a request has not. Names are labels of metrics: none may come from the client.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Says what is particular to one application; everything else is inherited from the components."""

    name: str
    """Folder name, e.g. `knowledge_tracing`."""
    title: str
    """One line for `homeroom apps`."""
    package: str
    """Import name of the folder, e.g. `flows.knowledge_tracing`."""
    codec_name: str = ""
    """Import name of the codec, a module or a package, where it is not the folder's own `codec.py`."""
    chain: str = "components.sequences.chain:SEQUENCES"
    """`module:name` of the Chain: the kind of data, and with it the stages."""
    config: type[Any]
    """The application's configuration class, one field per stage."""
    train_config: str
    """`module:Class` of the configuration's `train` field, which a training process reads back."""
    data: str
    """`module:Class` of the LightningDataModule."""
    model: str
    """`module:Class` of the LightningModule."""
    scorer: str
    """`module:function` `(folder, codec, run_model, which, students) -> DataFrame`: the answers of a release to what
    ingest published, or to those of some students; for batch scoring."""
    requests: str = ""
    """`module:function` `(logs, evaluation, codec, count, seed) -> [(student, Request)]`: at most `count` requests as a
    client would send them, drawn from what an evaluation held out; the reference of monitoring. Empty: none is made."""
    made_up: str = ""
    """Name of the module in `flows/contract` that makes up its data for tests, where it is not the kind's."""
    encoder: str = ""
    """`module:Class` of the SequenceEncoder of student logs (`components/preprocess`)."""

    @property
    def folder(self) -> Path:
        """Where the application's files are."""
        module = importlib.import_module(self.package)
        if module.__file__ is None:
            raise ConfigError(f"{self.package} has no folder; give it an __init__.py.")
        return Path(module.__file__).parent

    @property
    def codec_module(self) -> str:
        """Import name of the codec."""
        return self.codec_name or f"{self.package}.codec"

    def codec_files(self) -> dict[str, Path]:
        """Return the codec's sources, which a release carries: name there -> file here."""
        found = importlib.util.find_spec(self.codec_module)
        if found is None or found.origin is None:
            raise ConfigError(f"{self.name} has no codec {self.codec_module}; give it a file of this name.")
        main = Path(found.origin)
        if found.submodule_search_locations is None:
            return {"codec.py": main}
        return {f"codec/{path.name}": path for path in sorted(main.parent.glob("*.py"))}

    @property
    def card_file(self) -> Path:
        """The model card's text."""
        return self.folder / "README.md"

    @property
    def kind(self) -> Chain:
        """The application's kind of data."""
        found: Chain = self.part(self.chain)
        return found

    def codec(self) -> type[Codec]:
        """Return the application's Codec class."""
        kind: type[Codec] = importlib.import_module(self.codec_module).Codec
        return kind

    def part(self, name: str) -> Any:  # Any: a class or function that the application names
        """Import and return what a `module:name` field points to."""
        module, _, attribute = name.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def part_modules(self) -> tuple[str, ...]:
        """Return the modules of the named parts, which may lie outside the application's own package."""
        parts = (self.chain, self.train_config, self.data, self.model, self.encoder, self.scorer, self.requests)
        return tuple(sorted({part.partition(":")[0] for part in parts if part}))

    def configurations(self) -> tuple[str, ...]:
        """Return the names of the configurations that come with the application."""
        return tuple(sorted(p.stem for p in (self.folder / "configs").glob("*.toml")))

    def configuration(self, name: str, overrides: Sequence[str] = ()) -> Any:  # Any: of type self.config
        """Return the configuration of this name (or TOML path) after `section.key=value` overrides.

        Raises:
            ConfigError: no such configuration, or something in it is wrong.
        """
        from components.config import read_config  # late: serving needs no configurations

        path = self.folder / "configs" / f"{name}.toml"
        if not path.is_file():
            path = Path(name)
            if not path.is_file():
                raise ConfigError(
                    f"{self.name} has no configuration {name!r}; it has {', '.join(self.configurations())}. "
                    "Name one of these or give the path of a TOML file."
                )
        return read_config(self.config, path, overrides)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an application is found."""

    target: str
    """`module:APP`."""
    owner: str
    """The distribution and its version, or the folder, for messages."""

    def __str__(self) -> str:
        return f"{self.owner} ({self.target})"


def application_origins(package: str = "flows") -> dict[str, tuple[Origin, ...]]:
    """Return where each application is found, by name; more than one place is a clash that `load_application` tells.

    Applications are the entry points `homeroom.apps` of what is installed, and the folders of `package` with an
    `app.py`: a new folder counts before homeroom is installed again.
    """
    found: dict[str, dict[str, Origin]] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        target = entry.value.replace(" ", "")
        owner = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown distribution"
        found.setdefault(entry.name, {}).setdefault(target, Origin(target=target, owner=owner))
    home = importlib.import_module(package)
    for path in (path for root in home.__path__ for path in Path(root).glob("*/app.py")):
        name, target = path.parent.name, f"{package}.{path.parent.name}.app:APP"
        found.setdefault(name, {}).setdefault(target, Origin(target=target, owner=f"the folder {package}"))
    return {name: tuple(origins.values()) for name, origins in sorted(found.items())}


def application_names(package: str = "flows") -> tuple[str, ...]:
    """Return the names of all applications, also of those that cannot be loaded; none is imported."""
    return tuple(application_origins(package))


def load_application(name: str, package: str = "flows") -> Application:
    """Return the application called `name`.

    Raises:
        ConfigError: there is none of this name, or more than one; it cannot be imported, is no Application, has another
            name, or does not lie in its package. The message names the distribution.
    """
    origins = application_origins(package)
    if name not in origins:
        raise ConfigError(f"No application {name!r}; there are: {', '.join(origins)}.")
    if len(origins[name]) > 1:
        raise ConfigError(
            f"Application {name!r} is there {len(origins[name])} times: {' and '.join(map(str, origins[name]))}; "
            "expected once. Uninstall the others, or give them other names."
        )
    (origin,) = origins[name]
    told = f"Application {name!r} of {origin}"
    try:
        found = EntryPoint(name, origin.target, ENTRY_POINTS).load()
    except (Exception, SystemExit) as error:  # somebody else's code, which may do anything when it is imported
        raise ConfigError(
            f"{told} cannot be imported: {type(error).__name__}: {error}. Mend it, or uninstall its distribution."
        ) from error
    if not isinstance(found, Application):
        raise ConfigError(
            f"{told} is of type {type(found).__name__}; expected an Application, called APP in its app.py."
        )
    if found.name != name:
        raise ConfigError(
            f"{told} calls itself {found.name!r}; expected the same name in both places, as releases are found by it. "
            "Correct the entry point or the name in APP."
        )
    # a training process is given the package alone
    named: object = getattr(sys.modules.get(f"{found.package}.app"), "APP", None)
    if named is not found:
        raise ConfigError(
            f"{told} names the package {found.package!r}; expected the package in whose app.py it is called APP. "
            "Correct `package` in APP, or the entry point."
        )
    return found


def answer_requests(codec: Codec, run_model: Callable[[dict[str, Any]], Arrays], requests: Sequence[Any]) -> list[Any]:
    """Return the answers to `requests`, all in one batch. Offline and served answers both come from here.

    Args:
        codec: encodes and decodes.
        run_model: the model: padded inputs by name -> outputs by name, the batch axis first.
        requests: the application's own `Request` objects.
    """
    encoded = [codec.encode(request) for request in requests]
    rows = [row for group in encoded for row in group]
    if not rows:
        return []
    outputs = run_model(codec.batch(rows))
    answers, at = [], 0
    for request, group in zip(requests, encoded, strict=True):
        own = [{name: array[at + i] for name, array in outputs.items()} for i in range(len(group))]
        answers.append(codec.decode(request, group, own))
        at += len(group)
    return answers
