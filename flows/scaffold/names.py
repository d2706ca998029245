"""What an own application may be called: it becomes a package, a distribution, an entry point and a release."""

import importlib.util
import keyword
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

from components.app import application_names
from components.code import FIRST_PARTY
from components.errors import ConfigError

LONGEST = 40
RESERVED = frozenset({"homeroom", "tests", *FIRST_PARTY})
"""homeroom's own, and the folder of the new project's tests."""
_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def check_name(name: str) -> None:
    """Refuse a name that could not be installed, imported or released, or that is somebody else's.

    Raises:
        ConfigError: with the rule that the name breaks.
    """
    problem = _problem(name)
    if problem is not None:
        raise ConfigError(
            f"An application cannot be called {name!r}: {problem}. Expected small letters, digits and single "
            f"underscores, such as reading_lab, at most {LONGEST} characters, and nothing that is there already."
        )


def _problem(name: str) -> str | None:
    if not name.isidentifier():
        return "it is no Python identifier"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "it is a keyword of Python"
    if not _FORM.fullmatch(name):
        return "it has capitals, letters beyond a to z, or an underscore too many"
    if len(name) > LONGEST:
        return f"it has {len(name)} characters"
    if name in sys.stdlib_module_names:
        return "it is a module of Python's standard library"
    if name in application_names():
        return "there is an application of this name"
    if name in RESERVED:
        return "homeroom uses it"
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None:  # a mere folder of this name has none
        return f"a package of this name is installed ({spec.origin})"
    try:
        distribution(name)
    except PackageNotFoundError:
        return None
    return "a distribution of this name is installed"
