"""The category of warnings that users may want to silence."""

from __future__ import annotations

__all__ = ["PossibleUserWarning"]


class PossibleUserWarning(UserWarning):
    """A warning of something that is perhaps meant."""
