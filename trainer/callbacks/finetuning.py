"""Training parts of a model later than others: frozen at first, then added to the optimizer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from trainer.callback import Callback
from trainer.errors import MisconfigurationException, four_parts
from trainer.types import PlainState, Stage

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer

Modules: TypeAlias = "nn.Module | Iterable[Modules]"
"""A module, or modules in any nesting."""


def multiplicative(epoch: int) -> float:
    """Return 2: the backbone's learning rate doubles with every epoch."""
    return 2.0


class BaseFinetuning(Callback):
    """Base of callbacks that freeze parts of a model and thaw them later. Write the two methods below.

    `freeze_before_training` freezes what waits, before the optimizer is made; let `configure_optimizers` take only
    parameters that require gradients. `finetune_function` is asked at the start of every epoch what to thaw;
    `unfreeze_and_add_param_group` does it. A resume restores the optimizer's parameter groups.
    """

    def __init__(self) -> None:
        self._internal_optimizer_metadata: dict[int, list[dict[str, Any]]] = {}
        self._restarting = False
        self._latest_epoch = -1  # a resume inside an epoch thaws nothing twice

    # What a subclass writes

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze what waits."""
        raise NotImplementedError(f"{type(self).__name__} has no `freeze_before_training`. Write one.")

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Thaw what `epoch` begins with; called for each optimizer."""
        raise NotImplementedError(f"{type(self).__name__} has no `finetune_function`. Write one.")

    # Freezing and thawing

    @staticmethod
    def flatten_modules(modules: Modules) -> list[nn.Module]:
        """Return the modules inside `modules` that hold parameters themselves or have no children."""
        if isinstance(modules, nn.ModuleDict):
            modules = modules.values()
        if isinstance(modules, Iterable):
            inside = [module for part in modules for module in BaseFinetuning.flatten_modules(part)]
        else:
            inside = list(modules.modules())
        return [module for module in inside if module._parameters or not any(True for _ in module.children())]

    @staticmethod
    def filter_params(modules: Modules, train_bn: bool = True, requires_grad: bool = True) -> Iterator[nn.Parameter]:
        """Yield the parameters whose `requires_grad` is as given; those of batch norms only with `train_bn`."""
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm) and not train_bn:
                continue
            for parameter in module.parameters(recurse=False):
                if parameter.requires_grad == requires_grad:
                    yield parameter

    @staticmethod
    def make_trainable(modules: Modules) -> None:
        """Let all parameters require gradients, and batch norms follow their batches."""
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm):
                module.track_running_stats = True
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = True

    @staticmethod
    def freeze_module(module: nn.Module) -> None:
        """Freeze the parameters that `module` holds itself."""
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad = False

    @staticmethod
    def freeze(modules: Modules, train_bn: bool = True) -> None:
        """Freeze all parameters; those of batch norms stay trainable with `train_bn`."""
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm) and train_bn:
                BaseFinetuning.make_trainable(module)
            else:
                BaseFinetuning.freeze_module(module)

    @staticmethod
    def filter_on_optimizer(optimizer: Optimizer, params: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """Return those of `params` that `optimizer` does not have; warns if it has any."""
        present = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        params = list(params)
        new = [parameter for parameter in params if id(parameter) not in present]
        if len(new) < len(params):
            warnings.warn(
                f"{len(params) - len(new)} of {len(params)} parameters to train from now on are in the optimizer "
                "already and are left where they are. Let `configure_optimizers` take only parameters that require "
                "gradients: filter(lambda p: p.requires_grad, self.parameters()).",
                stacklevel=2,
            )
        return new

    @staticmethod
    def unfreeze_and_add_param_group(
        modules: Modules,
        optimizer: Optimizer,
        lr: float | None = None,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
    ) -> None:
        """Thaw `modules` and give their parameters to `optimizer` as a new group.

        Args:
            modules: what is trained from now on.
            optimizer: what trains it.
            lr: learning rate of the group; by default that of the first group divided by `initial_denom_lr`.
            initial_denom_lr: as above.
            train_bn: batch norms too.
        """
        BaseFinetuning.make_trainable(modules)
        rate = float(optimizer.param_groups[0]["lr"]) / initial_denom_lr if lr is None else float(lr)
        parameters = BaseFinetuning.filter_on_optimizer(optimizer, BaseFinetuning.filter_params(modules, train_bn))
        if parameters:
            optimizer.add_param_group({"params": parameters, "lr": rate})

    # The run

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Freeze."""
        if stage == "fit":
            self._internal_optimizer_metadata, self._latest_epoch = {}, -1
        self.freeze_before_training(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the groups of a run that is resumed, so that the optimizer's state fits them."""
        if not self._restarting:
            return
        self._restarting = False
        named = dict(pl_module.named_parameters())
        for index, optimizer in enumerate(trainer.optimizers):
            if index in self._internal_optimizer_metadata:
                groups = self._internal_optimizer_metadata[index]
                optimizer.param_groups = [{**group, "params": [named[n] for n in group["params"]]} for group in groups]
                added = {parameter for group in optimizer.param_groups[1:] for parameter in group["params"]}
                for parameter in added:
                    parameter.requires_grad = True
                for module in pl_module.modules():
                    if isinstance(module, _BatchNorm) and not added.isdisjoint(module.parameters()):
                        self.make_trainable(module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask what to thaw, and note the groups that this made."""
        if trainer.current_epoch <= self._latest_epoch:
            return
        self._latest_epoch = trainer.current_epoch
        names = {parameter: name for name, parameter in pl_module.named_parameters()}
        for index, optimizer in enumerate(trainer.optimizers):
            before = len(optimizer.param_groups)
            self.finetune_function(pl_module, trainer.current_epoch, optimizer)
            known = self._internal_optimizer_metadata.setdefault(index, [])
            new = optimizer.param_groups[before:] if known else optimizer.param_groups
            known += [{**group, "params": [names[parameter] for parameter in group["params"]]} for group in new]

    def state_dict(self) -> PlainState:
        """Return the groups, with parameters by name."""
        return {
            "internal_optimizer_metadata": self._internal_optimizer_metadata,
            "latest_epoch": self._latest_epoch,
        }

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Keep the groups until the optimizer is there."""
        self._restarting = True
        self._internal_optimizer_metadata = state_dict["internal_optimizer_metadata"]
        self._latest_epoch = state_dict.get("latest_epoch", -1)


class BackboneFinetuning(BaseFinetuning):
    """Freezes `pl_module.backbone`, thaws it at an epoch, and raises its learning rate until it meets the model's.

    Args:
        unfreeze_backbone_at_epoch: index of the epoch that thaws it.
        lambda_func: factor of its learning rate for each following epoch, given the epoch's index plus one.
        backbone_initial_ratio_lr: its first learning rate, as a share of the first group's.
        backbone_initial_lr: its first learning rate, instead.
        should_align: do not rise above the first group's learning rate.
        initial_denom_lr: not used here, as the first learning rate is always known.
        train_bn: train its batch norms too, also while the rest is frozen.
        verbose: print the learning rates at each epoch.
        rounding: digits that are printed.
    """

    def __init__(
        self,
        unfreeze_backbone_at_epoch: int = 10,
        lambda_func: Callable[[int], float] = multiplicative,
        backbone_initial_ratio_lr: float = 10e-2,
        backbone_initial_lr: float | None = None,
        should_align: bool = True,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
        verbose: bool = False,
        rounding: int = 12,
    ) -> None:
        super().__init__()
        self.unfreeze_backbone_at_epoch = unfreeze_backbone_at_epoch
        self.lambda_func = lambda_func
        self.backbone_initial_ratio_lr = backbone_initial_ratio_lr
        self.backbone_initial_lr = backbone_initial_lr
        self.should_align = should_align
        self.initial_denom_lr = initial_denom_lr
        self.train_bn = train_bn
        self.verbose = verbose
        self.rounding = rounding
        self.previous_backbone_lr: float | None = None

    def state_dict(self) -> PlainState:
        """Return the groups and the backbone's learning rate."""
        return {**super().state_dict(), "previous_backbone_lr": self.previous_backbone_lr}

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Go on from the backbone's learning rate."""
        self.previous_backbone_lr = state_dict["previous_backbone_lr"]
        super().load_state_dict(state_dict)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look whether there is a backbone.

        Raises:
            MisconfigurationException: there is none.
        """
        _backbone(pl_module)
        super().on_fit_start(trainer, pl_module)

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze the backbone; its batch norms keep training."""
        self.freeze(_backbone(pl_module))

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Thaw the backbone, or set its learning rate for this epoch."""
        current = float(optimizer.param_groups[0]["lr"])
        if epoch < self.unfreeze_backbone_at_epoch:
            return
        if epoch == self.unfreeze_backbone_at_epoch:
            own = self.backbone_initial_lr
            rate = current * self.backbone_initial_ratio_lr if own is None else own
            backbone = _backbone(pl_module)
            self.make_trainable(backbone)
            # Its batch norms were not frozen, so `configure_optimizers` may have taken them.
            present = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
            thawed = [p for p in self.filter_params(backbone, self.train_bn) if id(p) not in present]
            if thawed:
                optimizer.add_param_group({"params": thawed, "lr": rate})
        else:
            if self.previous_backbone_lr is None:
                return  # this fit began after the epoch that thaws
            rate = self.lambda_func(epoch + 1) * self.previous_backbone_lr
            rate = min(rate, current) if self.should_align else rate
            optimizer.param_groups[-1]["lr"] = rate
        self.previous_backbone_lr = rate
        if self.verbose:
            shown = round(current, self.rounding), round(rate, self.rounding)
            pl_module.print(f"Current lr: {shown[0]}, Backbone lr: {shown[1]}")


def _backbone(pl_module: LightningModule) -> nn.Module:
    backbone = getattr(pl_module, "backbone", None)
    if isinstance(backbone, nn.Module):
        return backbone
    raise MisconfigurationException(
        four_parts("BackboneFinetuning finds no backbone in the model.", got=type(backbone).__name__,
                   expected=f"an nn.Module under `{type(pl_module).__name__}.backbone`",
                   remedy="Name the part `backbone`, or write a BaseFinetuning for other names.")
    )  # fmt: skip
