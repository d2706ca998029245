"""Classes under names that arguments of the trainer may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from trainer.errors import MisconfigurationException

Made = TypeVar("Made")


class Registry(dict[str, dict[str, Any]], Generic[Made]):
    """What can be made under a name, with a description and fixed arguments.

    Args:
        kind: what the entries are, such as "strategy"; the key under which each entry keeps its class.
        taken: the error for a name that is there already.
    """

    def __init__(self, kind: str, taken: type[Exception] = MisconfigurationException) -> None:
        super().__init__()
        self._kind = kind
        self._taken = taken

    def register(
        self,
        name: str,
        made_by: Callable[..., Made] | None = None,
        description: str | None = "",
        override: bool = False,
        **init_params: Any,
    ) -> Callable[..., Any]:
        """Add a class, or any function that makes one; usable as a decorator too.

        Args:
            name: what the trainer's argument will be.
            made_by: what makes it; None to decorate.
            description: a sentence.
            override: replace an entry of this name.
            init_params: arguments it is made with.

        Raises:
            TypeError: the name is no text.
            MisconfigurationException: the name is taken (ValueError too).
        """
        if not isinstance(name, str):
            raise TypeError(f"`name` must be a str, found {name}")
        if name in self and not override:
            raise self._taken(f"The {self._kind} {name!r} is registered already. Pass override=True to replace it.")

        def add(made_by: Callable[..., Made]) -> Callable[..., Made]:
            self[name] = {
                "description": description or "",
                "init_params": init_params,
                self._kind: made_by,
                f"{self._kind}_name": name,
            }
            return made_by

        return add if made_by is None else add(made_by)

    def get(self, name: str, default: Any = None) -> Any:
        """Make what is registered under `name`.

        Raises:
            KeyError: nothing is, and there is no default.
        """
        if name in self:
            entry = self[name]
            return entry[self._kind](**entry["init_params"])
        if default is not None:
            return default
        raise KeyError(f"No {self._kind} is registered as {name!r}; there are {', '.join(sorted(self)) or 'none'}.")

    def remove(self, name: str) -> None:
        """Remove an entry."""
        self.pop(name)

    def names(self) -> list[str]:
        """Return the names, in the order of their registration."""
        return list(self)

    def __str__(self) -> str:
        return f"Registered {self._kind} names: {', '.join(self)}"
