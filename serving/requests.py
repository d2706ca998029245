"""Typed reading of requests: a codec's dataclasses -> strict readers; complaints name path and rule, never a value."""

import dataclasses
import json
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from components.app import Codec, GroupCodec
from serving.errors import BadRequestError, BundleError, ModelError

T = TypeVar("T")

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

# Rules whose wording depends on the codec alone. pydantic's other messages may quote what the client sent.
SAFE_RULES = frozenset(
    {
        "missing",
        "bool_type",
        "dataclass_type",
        "dict_type",
        "finite_number",
        "float_type",
        "greater_than",
        "greater_than_equal",
        "int_from_float",
        "int_type",
        "less_than",
        "less_than_equal",
        "list_type",
        "literal_error",
        "none_required",
        "string_too_long",
        "string_too_short",
        "string_type",
        "too_long",
        "too_short",
        "tuple_type",
    }
)
GROUP = "group"
"""Field of the requests of a release that maps answers by group."""
UNKNOWN_KEYS = frozenset({"unexpected_keyword_argument", "extra_forbidden"})


class Reader(Generic[T]):
    """Reads and writes one dataclass of a codec.

    Args:
        kind: the dataclass; it and what it is made of are read strictly, with unknown keys refused.
        ignored: keys of its objects that are no fields and are left out instead, whatever their values.
    """

    def __init__(self, kind: type[T], ignored: Collection[str] = ()) -> None:
        # Dataclasses inside take the configuration of the one that holds them, unless they have their own.
        kind.__pydantic_config__ = STRICT  # type: ignore[attr-defined]  # pydantic's documented hook for dataclasses
        self.kind = kind
        self._one: TypeAdapter[T] = TypeAdapter(kind)
        self._many: TypeAdapter[list[T]] = TypeAdapter(list[kind])  # type: ignore[valid-type]  # kind is known only now
        self._schema = self._one.json_schema()
        self._names = frozenset(_field_names(self._schema))
        self._ignored = frozenset(ignored) - self._schema.get("properties", {}).keys()

    def read(self, body: bytes) -> T:
        """Return the object in a JSON body.

        Raises:
            BadRequestError: with every problem.
        """
        try:
            return self._one.validate_json(body)
        except ValidationError as error:
            complaint = error
        if any(one["loc"] in {(name,) for name in self._ignored} for one in complaint.errors(include_input=False)):
            plain = {name: value for name, value in from_json(body).items() if name not in self._ignored}
            try:
                return self._one.validate_json(to_json(plain))
            except ValidationError as error:
                complaint = error
        raise self._complaint(complaint) from None  # the chain would hold the values

    def read_many(self, body: bytes, most: int) -> list[T | BadRequestError]:
        """Return the objects of a JSON list, with a complaint in the place of each that cannot be read.

        Raises:
            BadRequestError: the body is no list, is empty, or has more than `most` items.
        """
        items: list[T | BadRequestError]
        try:
            items = list(self._many.validate_json(body))
        except ValidationError:
            try:
                plain = from_json(body)
            except ValueError as error:
                raise BadRequestError("The body is not JSON.", (("", _json_rule(error)),)) from None
            if not isinstance(plain, list):
                raise BadRequestError("The body must be a list of requests.", (("", "expected an array"),)) from None
            items = [self._read_or_complain(item) for item in plain[: most + 1]]
        if not 0 < len(items) <= most:
            raise BadRequestError(f"The list must have 1 to {most} requests. Send several lists.")
        return items

    def read_plain(self, value: object) -> T:
        """Return the object that plain JSON values stand for."""
        return self.read(to_json(value))

    def plain(self, value: T) -> dict[str, Any]:  # Any: parsed JSON
        """Return an object as plain JSON values."""
        found: dict[str, Any] = self._one.dump_python(value, mode="json")
        return found

    def write(self, value: T) -> bytes:
        """Return an object as JSON. Raises what `written` raises."""
        return written(self.plain(value))

    def _read_or_complain(self, item: object) -> T | BadRequestError:
        try:
            return self.read(to_json(item))
        except BadRequestError as complaint:
            return complaint

    def _complaint(self, error: ValidationError) -> BadRequestError:
        problems = []
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            path = self._path(one["loc"])
            kind = one["type"]
            if kind in UNKNOWN_KEYS:
                problems.append((self._path(one["loc"][:-1]), self._unknown_key(one["loc"][:-1])))
            elif kind == "json_invalid":
                problems.append(("", one["msg"]))
            elif kind in SAFE_RULES:
                problems.append((path, one["msg"]))
            else:
                problems.append((path, f"does not have the expected form ({kind})"))
        unique = tuple(dict.fromkeys(problems))
        return BadRequestError("The request cannot be read.", unique)

    def _unknown_key(self, loc: tuple[int | str, ...]) -> str:
        """Return the rule for the object at `loc`; the keys that it names are the codec's, never the client's."""
        keys = _keys_at(self._schema, loc)
        return "has a key that is not known" + (f"; known are: {', '.join(keys)}" if keys else "")

    def _path(self, loc: tuple[int | str, ...]) -> str:
        """Return `history[0].correct`. Keys that are no field of ours come from the client: they become `*`."""
        text = ""
        for part in loc:
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                name = part if part in self._names else "*"
                text += f".{name}" if text else name
        return text


def written(plain: dict[str, Any]) -> bytes:  # Any: plain JSON values
    """Return plain JSON values as JSON.

    Raises:
        ModelError: a number in it is NaN or infinite.
    """
    try:
        return json.dumps(plain, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise ModelError("The model gave a number that is not finite. Do not use this release.") from None


def readers(module: ModuleType) -> tuple[Reader[Any], Reader[Any]]:
    """Return the readers of a codec module's `Request` and `Answer`.

    Raises:
        BundleError: one of them is missing or is no dataclass that JSON can carry.
    """
    found = []
    for name in ("Request", "Answer"):
        kind = getattr(module, name, None)
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            raise BundleError(
                f"The codec has no dataclass {name}; expected one from which the service takes its types."
            )
        found.append(_reader(kind, name))
    return found[0], found[1]


def requests_of(codec: Codec, plain: Reader[Any]) -> Reader[Any]:
    """Return the reader of the class that a codec names for its requests; `plain` where it names none.

    A release that asks for no group although its codec could ignores the group that clients of other releases of it
    send: so one can take the other's place, or answer beside it.

    Raises:
        BundleError: it is no dataclass that JSON can carry.
    """
    if not isinstance(codec, GroupCodec):
        return plain
    return _reader(codec.request_class, "Request", () if codec.groups else (GROUP,))


def _reader(kind: type[Any], name: str, ignored: Collection[str] = ()) -> Reader[Any]:
    try:
        return Reader(kind, ignored)
    except Exception as error:  # pydantic raises several kinds for a type that it cannot carry
        raise BundleError(
            f"The codec's {name} cannot be carried by JSON ({type(error).__name__}); use str, int, float, bool, "
            "tuples, lists, dicts and dataclasses of these."
        ) from error


def _field_names(schema: Mapping[str, Any]) -> set[str]:
    names: set[str] = set()
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            properties = node.get("properties")
            if isinstance(properties, Mapping):
                names.update(properties)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return names


def _keys_at(schema: Mapping[str, Any], loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return the keys of the object at `loc` of a JSON schema, in their order; none where that is ambiguous."""
    nodes = _alternatives(schema, schema)
    for part in loc:
        inner: list[Any] = []
        for node in nodes:
            if isinstance(part, int):
                places = node.get("prefixItems", [])
                inner.append(places[part] if part < len(places) else node.get("items"))
            else:
                inner.append(node.get("properties", {}).get(part, node.get("additionalProperties")))
        nodes = [found for node in inner if isinstance(node, Mapping) for found in _alternatives(node, schema)]
    found = {tuple(node["properties"]) for node in nodes if "properties" in node}
    return found.pop() if len(found) == 1 else ()


def _alternatives(node: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a node stands for: itself, what it refers to, or each of several."""
    if "$ref" in node:
        return _alternatives(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in node:
        return [found for one in node["anyOf"] for found in _alternatives(one, schema)]
    return [node]


def _json_rule(error: ValueError) -> str:
    return f"Invalid JSON: {error}"
