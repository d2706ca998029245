"""The exceptions, under the path that Lightning gives them."""

from trainer.errors import MisconfigurationException

__all__ = ["MisconfigurationException"]
