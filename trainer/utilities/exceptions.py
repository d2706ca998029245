"""The exceptions that users of Lightning import from here."""

from trainer.errors import MisconfigurationException, SIGTERMException

__all__ = ["MisconfigurationException", "SIGTERMException"]
