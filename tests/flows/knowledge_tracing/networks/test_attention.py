"""Attention that fades: weights by hand, and what distance may and may not do."""

import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from components.export import graph, parity
from flows.knowledge_tracing.config import AttentionConfig
from flows.knowledge_tracing.model import DeepKnowledgeTracing
from flows.knowledge_tracing.networks.attention import DecayingAttention


def attention(width: int = 2, heads: int = 1, decay: float | None = None, start: float = 0.0) -> DecayingAttention:
    torch.manual_seed(0)
    made = DecayingAttention(width, heads)
    with torch.no_grad():
        made.start.fill_(start)
        if decay is not None:
            made.raw_decay.fill_(math.log(math.expm1(decay)))  # softplus undone
        made.query_key.weight.copy_(torch.eye(width))
        made.query_key.bias.zero_()
    return made


def test_three_steps_by_hand() -> None:
    # theta = 1/2, the start's own bias 1/4, and scores q k / sqrt(2) with q = (1, 0): 0, -1, 2 for the three places
    root = math.sqrt(2.0)
    key = torch.tensor([[[0.0, 5.0], [-root, 5.0], [2 * root, 5.0]]])
    query = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])
    with torch.no_grad():
        weights = attention(decay=0.5, start=0.25).weights(query, key)[0, 0]
    by_hand = [
        [0.25],  # the first step reads the start alone
        [0.25, -1.0],  # distance 0
        [0.25, -1.0 - 0.5, 2.0],  # the start does not fade, place 1 is one step away
    ]
    for row, scores in zip(weights.tolist(), by_hand, strict=True):
        total = sum(math.exp(s) for s in scores)
        assert row[: len(scores)] == pytest.approx([math.exp(s) / total for s in scores], abs=1e-6)
        assert row[len(scores) :] == [0.0] * (3 - len(scores))  # what is still to come


@pytest.mark.parametrize("sign", [-1.0, 0.0, 1.0])
def test_with_equal_content_the_weight_falls_with_distance(sign: float) -> None:
    # also where the score is negative, where a score times exp(-theta d) would rise
    query = torch.ones(1, 9, 4)
    with torch.no_grad():
        made = attention(width=4, heads=2)
        weights_HT = made.weights(query, sign * query)[0, :, -1, 1:]  # the last step, without the start
    falls_H = weights_HT[:, 1:] / weights_HT[:, :-1]
    assert (falls_H > 1).all()
    assert torch.allclose(falls_H, torch.exp(made.decay())[:, None].expand_as(falls_H), rtol=1e-4)


def test_decay_is_never_negative_whatever_is_learned() -> None:
    made = DecayingAttention(8, 4)
    assert made.decay().tolist() == pytest.approx([2**-2, 2**-4, 2**-6, 2**-8], rel=1e-5)  # ALiBi's slopes
    with torch.no_grad():
        made.raw_decay.fill_(-200.0)
    assert (made.decay() >= 0).all()


def test_decay_and_start_learn() -> None:
    made = DecayingAttention(4, 2)
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    made(x, x, x).square().sum().backward()
    for parameter in (made.raw_decay, made.start):
        assert parameter.grad is not None
        assert parameter.grad.abs().min() > 0


@pytest.mark.slow
def test_the_export_equals_torch_on_shapes_it_never_saw(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = AttentionConfig(network="attention", width=8, hidden=12, heads=2, blocks=2)
    net = DeepKnowledgeTracing(items=30, skills=9, max_skills=3, network=asdict(config)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))  # nothing is zero, as after training
    graph.write_onnx(net, tmp_path / "model.onnx", opset=20, metadata={})
    graph.check_axes(tmp_path / "model.onnx")
    parity.require(parity.compare(net, tmp_path / "model.onnx", [], 60), 1e-5, "the exported model", "")
