"""Choices as enumerations; each equals its text."""

from __future__ import annotations

from enum import StrEnum


class GradClipAlgorithmType(StrEnum):
    """How gradients are clipped."""

    VALUE = "value"
    NORM = "norm"

    @staticmethod
    def supported_type(val: str) -> bool:
        """Return whether `val` names one of them."""
        return any(val == kind for kind in GradClipAlgorithmType)

    @staticmethod
    def supported_types() -> list[str]:
        """Return the names."""
        return [kind.value for kind in GradClipAlgorithmType]
