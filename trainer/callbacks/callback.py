"""The base class of callbacks, under the path that Lightning gives it."""

from trainer.callback import Callback

__all__ = ["Callback"]
