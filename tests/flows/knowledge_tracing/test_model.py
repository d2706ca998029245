"""What every network must keep: what a step may see, what padding may not change, what a set of skills means."""

import types
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

import trainer as tr
from flows.knowledge_tracing.config import AttentionConfig, DktConfig, KnowledgeTracingTrainConfig, network_config
from flows.knowledge_tracing.model import DeepKnowledgeTracing
from flows.knowledge_tracing.networks.attention import AttentionNetwork
from flows.knowledge_tracing.networks.dkt import DktNetwork
from trainer.callbacks import ModelCheckpoint

CONFIGS: dict[str, DktConfig | AttentionConfig] = {
    "dkt": DktConfig(width=6, hidden=8, unknown_share=0.0),
    "attention": AttentionConfig(network="attention", width=8, hidden=6, heads=2, blocks=3, unknown_share=0.0),
}
each_network = pytest.mark.parametrize("name", CONFIGS)


def network(name: str, max_skills: int = 3, items: int = 20) -> DeepKnowledgeTracing:
    torch.manual_seed(0)
    made = DeepKnowledgeTracing(items=items, skills=7, max_skills=max_skills, network=asdict(CONFIGS[name]))
    if items > 2:
        with torch.no_grad():
            nn.init.normal_(difficulty(made).weight)[0] = 0
    return made.eval()


def difficulty(net: DeepKnowledgeTracing) -> nn.Embedding:
    assert net.network.difficulty is not None
    return net.network.difficulty


@each_network
def test_padding_at_the_right_changes_nothing(name: str) -> None:
    net = network(name)
    inputs = net.export_inputs(4, 12, seed=0)
    padded = {n: functional.pad(v, (0, 0) * (v.dim() - 2) + (0, 5)) for n, v in inputs.items()}
    assert torch.allclose(net(**inputs), net(**padded)[:, :12], atol=1e-6)


@each_network
def test_the_order_of_a_skill_set_changes_nothing(name: str) -> None:
    net = network(name)
    inputs = net.export_inputs(3, 9, seed=0)
    shuffled = {**inputs, "skills": inputs["skills"].flip(-1)}
    assert torch.allclose(net(**inputs), net(**shuffled), atol=1e-6)


@each_network
def test_nothing_was_answered_before_the_first_step(name: str) -> None:
    net = network(name)
    inputs = net.export_inputs(2, 6, seed=0)
    flipped = {**inputs, "responses": 1 - inputs["responses"]}
    assert torch.equal(net(**inputs)[:, 0], net(**flipped)[:, 0])


@each_network
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_step_sees_only_what_came_before(name: str, data: st.DataObject) -> None:
    net = network(name)
    batch, steps = data.draw(st.integers(1, 4)), data.draw(st.integers(2, 30))
    at, seed = data.draw(st.integers(0, steps - 1)), data.draw(st.integers(0, 1000))
    inputs, others = net.export_inputs(batch, steps, seed), net.export_inputs(batch, steps, seed + 1)
    changed = {
        "items": torch.cat([inputs["items"][:, : at + 1], others["items"][:, at + 1 :]], dim=1),
        "skills": torch.cat([inputs["skills"][:, : at + 1], others["skills"][:, at + 1 :]], dim=1),
        # the answer at step `at` is predicted before it is given
        "responses": torch.cat([inputs["responses"][:, :at], 1 - inputs["responses"][:, at:]], dim=1),
    }
    with torch.inference_mode():
        before, after = net(**inputs), net(**changed)
    assert torch.equal(before[:, : at + 1], after[:, : at + 1])
    assert not torch.equal(before[:, at + 1 :], after[:, at + 1 :]) or at == steps - 1


@each_network
def test_one_step_and_nothing_but_padding_have_answers(name: str) -> None:
    net = network(name)
    alone = net(**net.export_inputs(3, 1, seed=0))
    padding = {n: torch.zeros_like(v) for n, v in net.export_inputs(2, 9, seed=0).items()}
    for probability in (alone, net(**padding)):
        assert torch.isfinite(probability).all()


@each_network
def test_a_row_of_padding_spoils_no_gradient(name: str) -> None:
    net = network(name).train()
    inputs = net.export_inputs(3, 7, seed=0)
    mask = torch.ones(3, 7, dtype=torch.bool)
    for value in (*inputs.values(), mask):
        value[1] = 0
    net.log = lambda *args, **kwargs: None  # type: ignore[method-assign]  # no trainer here
    net.training_step({**inputs, "mask": mask}, 0).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


@each_network
def test_a_harder_item_is_less_likely_right(name: str) -> None:
    net = network(name)
    inputs = net.export_inputs(1, 1, seed=0)
    easy, hard = inputs["items"].clone().fill_(2), inputs["items"].clone().fill_(3)
    with torch.no_grad():
        difficulty(net).weight[2], difficulty(net).weight[3] = -1.0, 2.0
    logits = [net.logits(items, inputs["skills"], inputs["responses"]).item() for items in (easy, hard)]
    assert logits[0] - logits[1] == pytest.approx(3.0, abs=1e-5)  # Rasch: the difference of difficulties


@each_network
def test_without_items_there_is_no_item_table(name: str) -> None:
    net = network(name, items=2)
    assert net.network.difficulty is None
    assert not any("difficulty" in name for name, _ in net.named_parameters())
    assert net(**net.export_inputs(2, 3, seed=0)).shape == (2, 3)


@each_network
def test_the_loss_is_the_mean_over_real_steps(name: str) -> None:
    net = network(name, items=2)
    inputs = net.export_inputs(2, 4, seed=0)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    net.log = lambda *args, **kwargs: None  # type: ignore[method-assign]  # no trainer here
    loss = net.training_step({**inputs, "mask": mask}, 0)
    p = net(**inputs)[mask]
    y = inputs["responses"][mask]
    by_hand = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    assert loss.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_hyperparameters_say_which_network_it_is() -> None:
    made = network("attention")
    assert made.hparams["network"]["network"] == "attention"
    assert isinstance(made.network, AttentionNetwork)
    assert isinstance(network("dkt").network, DktNetwork)
    assert isinstance(
        network_config({"width": 6, "hidden": 8}), DktConfig
    )  # as checkpoints had it before there was a choice
    with pytest.raises(ValueError, match="network='mamba' is none of 'dkt' and 'attention'"):
        network_config({"network": "mamba"})


def test_every_network_of_the_configuration_is_tested_here() -> None:
    kinds = get_args(KnowledgeTracingTrainConfig.__annotations__["model"])
    assert {type(config) for config in CONFIGS.values()} == set(kinds)


def test_difficulties_learn_at_a_speed_of_their_own() -> None:
    for name, rates in (("dkt", [1e-2]), ("attention", [1e-2, 7e-2])):
        net = network(name)
        net._trainer = types.SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]  # all it asks for
        chosen = net.configure_optimizers()
        groups = chosen["optimizer"].param_groups
        assert chosen["lr_scheduler"]["scheduler"].base_lrs == pytest.approx([rate / 25 for rate in rates])  # one-cycle
        assert [group["max_lr"] for group in groups] == pytest.approx(rates)
        assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in net.parameters()}
        assert groups[-1]["params"][-1].shape == difficulty(net).weight.shape


def test_a_stopped_training_goes_on_bit_for_bit_with_attention_and_dropout(tmp_path: Path) -> None:
    """Dropout and unknown shares draw random numbers in each step; the trainer must bring them back."""

    def fit(folder: Path, epochs: int, resumed: bool = False) -> DeepKnowledgeTracing:
        tr.seed_everything(0, verbose=False)
        config = AttentionConfig(network="attention", width=8, hidden=6, heads=2, dropout=0.5, unknown_share=0.2)
        net = DeepKnowledgeTracing(items=20, skills=7, max_skills=3, network=asdict(config))
        inputs = [net.export_inputs(4, 9, seed) for seed in range(3)]
        mask = torch.ones(4, 9, dtype=torch.bool)
        batches: Any = DataLoader([{**batch, "mask": mask, "scored": mask} for batch in inputs], batch_size=None)  # type: ignore[arg-type]  # a list is a dataset
        fitter = tr.Trainer(
            accelerator="cpu",
            max_epochs=2,
            callbacks=[StopAfter(epochs), ModelCheckpoint(dirpath=folder, save_last=True)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        fitter.fit(net, batches, batches, ckpt_path=folder / "last.ckpt" if resumed else None)
        return net

    whole = fit(tmp_path / "whole", 2)
    fit(tmp_path / "parts", 1)
    parts = fit(tmp_path / "parts", 2, resumed=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


class StopAfter(tr.Callback):
    """Ends a training early, as a kill between two epochs would."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: tr.Trainer, pl_module: tr.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs
