"""Says in words how two stage keys differ, part by part."""

from collections.abc import Mapping
from typing import Any


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each part that differs between two results of `Runner.key_parts`."""
    found = []
    if before.get("inputs") != now.get("inputs"):
        found.append("an input artifact changed")
    for part, label in (("config", "configuration"), ("code", "code"), ("libraries", "library")):
        old, new = _flat(before.get(part, {})), _flat(now.get(part, {}))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) == new.get(name):
                continue
            if part == "code":
                found.append(
                    f"code of {name} " + ("is new" if name not in old else "is gone" if name not in new else "changed")
                )
            else:
                found.append(f"{label} {name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}")
    for part in ("application", "pseudonym_key", "signing_key"):
        if before.get(part) != now.get(part):
            found.append(f"{part.replace('_', ' ')} changed")
    if before.get("erased") != now.get("erased"):
        found.append("students were erased since")
    return found


def shortened(changes: list[str], most: int = 3) -> str:
    """Return the first changes in one line; `explain` tells the rest."""
    more = len(changes) - most
    return "; ".join(changes[:most]) + (f"; and {more} more changes" if more > 0 else "")


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        # module names hold dots of their own; a configuration is nested
        flat.update(_flat(inner, f"{prefix}.{name}" if prefix else str(name)))
    return flat
