"""What `save_hyperparameters` keeps under a command line, and building objects again from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import trainer as L
from tests.trainer.cli.pieces import SHORT, Data, Holder, Model
from trainer.checkpoints.files import load_checkpoint, save_checkpoint
from trainer.errors import MisconfigurationException
from trainer.model.given_hyperparameters import INSTANTIATOR, given_hyperparameters

pytest.importorskip("jsonargparse")

from trainer.cli import LightningCLI, instantiate_module

pytestmark = pytest.mark.filterwarnings("ignore:Seed set")


class Owner(L.LightningModule):
    """Builds another module, and keeps some of what it was given."""

    def __init__(self, width: int = 1, note: str = "a") -> None:
        super().__init__()
        self.save_hyperparameters("width")
        self.part = Model(width=width, lr=0.5)


class Configured(L.LightningModule):
    """Takes all in one dict."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters(config)
        self.layer = nn.Linear(config["width"], 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0]).mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.layer(batch[0]).mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_given_values_stand_for_the_arguments() -> None:
    with given_hyperparameters({"width": 7}, owner=Owner):
        owner = Owner(width=2)
    assert owner.hparams == {"width": 7}
    # The part was built inside, and is of another class: what it was given itself counts.
    assert owner.part.hparams == {"width": 2, "lr": 0.5, "activation": None}
    with given_hyperparameters({"width": 7}):
        assert Model(width=2).hparams == {"width": 7, "_instantiator": INSTANTIATOR}
    assert Model(width=2).hparams["width"] == 2


def test_names_that_are_not_given_are_refused() -> None:
    with given_hyperparameters({"depth": 7}), pytest.raises(MisconfigurationException, match=r"Got \['width'\]"):
        Owner(width=2)


def test_a_model_in_a_model_keeps_its_own(tmp_path: Path) -> None:
    args = [
        f"--model={Model.__module__}.Holder",
        f"--model.inner={Model.__module__}.Model",
        "--model.inner.lr=0.25",
        "--model.width=4",
    ]
    command = LightningCLI(run=False, args=args, save_config_callback=None)
    holder: Any = command.model
    assert isinstance(holder, Holder)
    inner = {"class_path": f"{Model.__module__}.Model", "init_args": {"width": 3, "lr": 0.25, "activation": None}}
    assert holder.hparams["inner"] == inner
    assert holder.inner.hparams == {
        "_class_path": inner["class_path"], "width": 3, "lr": 0.25, "activation": None, "_instantiator": INSTANTIATOR
    }  # fmt: skip
    again = instantiate_module(L.LightningModule, {k: v for k, v in holder.hparams.items() if k != "_instantiator"})
    assert (again.inner.lr, again.layer.in_features) == (0.25, 4)


def test_two_models_of_one_class_are_told_apart() -> None:
    place = Model.__module__
    outer = [f"--model={place}.Holder", "--model.width=4"]
    inner = [f"--model.inner={place}.Holder", "--model.inner.width=5", f"--model.inner.inner={place}.Model"]
    args = [*outer, *inner]
    holder: Any = LightningCLI(run=False, args=args, save_config_callback=None).model
    assert (holder.hparams["width"], holder.inner.hparams["width"], holder.inner.inner.hparams["width"]) == (4, 5, 3)


def test_one_dict_is_kept_under_its_name(tmp_path: Path) -> None:
    command = LightningCLI(Configured, Data, args=["fit", *SHORT, '--model.config={"width": 3}'])
    path = command.trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]  # there is one
    saved = load_checkpoint(path)
    assert (saved["hyper_parameters"], saved["hparams_name"]) == ({"width": 3}, "config")
    assert Configured.load_from_checkpoint(path).layer.in_features == 3
    again = LightningCLI(
        Configured, Data, args=["validate", *SHORT, f"--ckpt_path={path}", '--model.config={"width": 9}']
    )
    assert again.model.hparams == {"width": 3}


def test_what_is_built_again_can_be_saved_again(tmp_path: Path) -> None:
    args = ["--model.activation=torch.nn.LeakyReLU", "--model.activation.negative_slope=0.3"]
    command = LightningCLI(Model, Data, args=["fit", *SHORT, *args])
    path = command.trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]  # there is one
    again: Any = Model.load_from_checkpoint(path)
    assert again.hparams == command.model.hparams
    other: Any = Model.load_from_checkpoint(path, activation=nn.ReLU())
    assert isinstance(other.activation, nn.ReLU)
    assert "activation" not in other.hparams  # an object; it has to be given the next time too


def test_a_checkpoint_of_lightnings_command_line_is_read(tmp_path: Path) -> None:
    model = Model(width=3)
    described = {"class_path": "torch.nn.LeakyReLU", "init_args": {"negative_slope": 0.4, "inplace": False}}
    saved = {
        "width": 3,
        "lr": 0.2,
        "activation": described,
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
    }
    file = {"state_dict": model.state_dict(), "hyper_parameters": saved, "pytorch-lightning_version": "2.6.6"}
    torch.save(file, tmp_path / "theirs.ckpt")
    again: Any = Model.load_from_checkpoint(tmp_path / "theirs.ckpt")
    assert (again.activation.negative_slope, again.lr) == (0.4, 0.2)
    assert again.hparams["_instantiator"] == INSTANTIATOR


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"_instantiator": "os.system"}, "not trusted.*os.system"),
        ({"_instantiator": ["os.system"]}, "not trusted"),
        ({"_instantiator": INSTANTIATOR, "_class_path": "not.imported.Model"}, "cannot be trusted.*not.imported.Model"),
        ({"_instantiator": INSTANTIATOR, "_class_path": "torch.nn.Linear"}, "cannot be trusted.*torch.nn.Linear"),
        ({"_instantiator": INSTANTIATOR, "_class_path": 3}, "cannot be trusted"),
    ],
)
def test_a_checkpoint_runs_nothing_of_its_own_choice(tmp_path: Path, entries: dict[str, Any], message: str) -> None:
    saved = {"state_dict": Model().state_dict(), "hyper_parameters": {"width": 3, **entries}}
    save_checkpoint(saved, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match=message):
        Model.load_from_checkpoint(tmp_path / "bad.ckpt")


class Counted(Data):
    """Data that counts with NumPy, and holds an object."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = np.float64(0.5)
        self.mapping = nn.Identity()


class Linking(LightningCLI):
    source, target = "data.rate", "model.lr"

    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.link_arguments(self.source, self.target, apply_on="instantiate")


class LinkingAnObject(Linking):
    source, target = "data.mapping", "model.activation"


def test_linked_values_are_kept_as_plain_data() -> None:
    command = Linking(Model, Counted, run=False, args=[], save_config_callback=None)
    assert command.model.hparams["lr"] == 0.5
    assert type(command.model.hparams["lr"]) is float  # a NumPy number would need NumPy to be read


def test_a_linked_object_is_refused_by_name() -> None:
    with pytest.raises(MisconfigurationException, match=r"activation: torch.nn.*ignore=\['activation'\]"):
        LinkingAnObject(Model, Counted, run=False, args=[], save_config_callback=None)


def test_loggers_get_what_was_configured_without_the_class(tmp_path: Path) -> None:
    command = LightningCLI(
        args=["fit", *SHORT, f"--model={Model.__module__}.Deep", "--model.depth=4", f"--data={Model.__module__}.Data"]
    )
    text = (Path(command.trainer.log_dir or "") / "hparams.yaml").read_text()
    assert "depth: 4" in text
    assert "_class_path" not in text
