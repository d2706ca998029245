"""Whom a run asks for its model and its loaders: arguments, data module or module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from trainer.data.hooks import DataHooks
from trainer.errors import MisconfigurationException, WrongTypeError
from trainer.loops.compiled import unwrap_compiled
from trainer.loops.hooks import is_overridden

if TYPE_CHECKING:
    from trainer.datamodule import LightningDataModule
    from trainer.module import LightningModule


@dataclass(slots=True, kw_only=True)
class Sources:
    """The model of a run and where its data comes from.

    Attributes:
        module: the model.
        datamodule: asked for loaders before the module.
        given: loaders given as arguments, by "train", "val", "test" or "predict"; these win.
        compiler: compiles the steps, where the model was given as `torch.compile(model)`.
    """

    module: LightningModule
    datamodule: LightningDataModule | None = None
    given: dict[str, Any] = field(default_factory=dict)  # any iterables
    compiler: Any = None  # torch leaves its type unnamed

    def loader(self, source: str) -> Any:
        """Return the loader, or the loaders, of `source`; None where nobody has one."""
        if self.given.get(source) is not None:
            return self.given[source]
        name = f"{source}_dataloader"
        owner: DataHooks = self.module
        if self.datamodule is not None and is_overridden(name, self.datamodule, DataHooks):
            owner = self.datamodule
        if not is_overridden(name, owner, DataHooks):
            return None
        found = getattr(owner, name)()
        if found is None:
            raise WrongTypeError(
                f"`{type(owner).__name__}.{name}` returned no loader. Got None; expected a DataLoader or any other "
                "iterable. Return one, or an empty list where there is nothing to evaluate."
            )
        return found

    def has(self, source: str) -> bool:
        """Return whether there is anybody to ask for loaders of `source`."""
        owners = [owner for owner in (self.datamodule, self.module) if owner is not None]
        asked = any(is_overridden(f"{source}_dataloader", owner, DataHooks) for owner in owners)
        return asked or self.given.get(source) is not None

    def refuse_missing(self, source: str) -> NoReturn:
        """Raise the error for a stage without data."""
        raise MisconfigurationException(
            f"There is no data for this stage. Got no `{source}_dataloader`; expected loaders as an argument, a data "
            f"module, or the hook in {type(self.module).__name__}. Give one of them."
        )


def read_sources(model: object, datamodule: Any, loaders: dict[str, Any], before: Sources | None) -> Sources:
    """Return the sources that the arguments of `fit` and its like mean.

    Args:
        model: perhaps compiled; None takes the one of the run before.
        datamodule: a data module; without one and without loaders, the one of the run before stays.
        loaders: by source; a data module may stand in the place of a loader.
        before: the sources of the run before.

    Raises:
        MisconfigurationException: loaders and a data module contradict each other.
        WrongTypeError: there is no model, or it is no LightningModule.
    """
    from trainer.datamodule import LightningDataModule
    from trainer.module import LightningModule

    for name, loader in loaders.items():
        if isinstance(loader, LightningDataModule):
            datamodule, loaders = loader, {**loaders, name: None}
    has_loaders = any(loader is not None for loader in loaders.values())
    if datamodule is not None and has_loaders:
        raise MisconfigurationException(
            "Loaders and a data module were both given. Got both; expected one of them. Leave one out."
        )
    module, compiler = unwrap_compiled(model)
    if model is None and before is not None:
        module, compiler = before.module, before.compiler
    if not isinstance(module, LightningModule):
        raise WrongTypeError(
            f"The model is no LightningModule. Got {type(module).__name__}; expected a subclass of "
            "trainer.LightningModule. Wrap the network in one that has the steps."
        )
    if datamodule is None and not has_loaders and before is not None and before.module is module:
        datamodule = before.datamodule
    return Sources(module=module, datamodule=datamodule, given=loaders, compiler=compiler)
