"""The hooks, under the path that Lightning gives them."""

from trainer.data.hooks import DataHooks
from trainer.model.module_hooks import ModuleHooks

__all__ = ["DataHooks", "ModuleHooks"]
