"""The hooks, under the path that Lightning gives them."""

from trainer.data_hooks import DataHooks
from trainer.module_hooks import ModuleHooks

__all__ = ["DataHooks", "ModuleHooks"]
