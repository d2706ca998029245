"""Dropout: shares, expectations, independence, gradients, and what it leaves alone."""

import pytest
import torch

from components.layers.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.4, 0.75])
def test_the_share_and_the_expectation(p: float) -> None:
    torch.manual_seed(0)
    out = Dropout(p)(torch.ones(400, 1_001))
    # 400,400 draws: a standard deviation below 0.0008 for the share
    assert float((out == 0).float().mean()) == pytest.approx(p, abs=1 / 512 + 0.004)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.01)
    assert len(out.unique()) == 2


def test_values_are_zeroed_independently() -> None:
    torch.manual_seed(1)
    kept = (Dropout(0.5)(torch.ones(200_000, 8)) > 0).float()
    # eight values come from one draw: none of them tells about another
    seen = torch.corrcoef(kept.T) - torch.eye(8)
    assert float(seen.abs().max()) < 0.012


def test_the_seed_decides() -> None:
    layer, values = Dropout(0.4), torch.ones(3, 5, 7)
    torch.manual_seed(3)
    first, second = layer(values), layer(values)
    torch.manual_seed(3)
    assert torch.equal(layer(values), first)
    assert not torch.equal(first, second)


def test_the_gradient_is_what_was_kept() -> None:
    values = torch.ones(50, 3, requires_grad=True)
    out = Dropout(0.25)(values)
    out.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, out.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_type_stays(dtype: torch.dtype) -> None:
    out = Dropout(0.4)(torch.ones(9, dtype=dtype))
    assert out.dtype == dtype
    assert ((out == 0) | ((out - 256 / (256 - 102)).abs() < 0.01)).all()


def test_evaluation_and_p_0_change_nothing() -> None:
    values = torch.randn(4, 4)
    assert Dropout(0.5).eval()(values) is values
    assert Dropout(0.0)(values) is values


def test_a_p_too_small_for_a_byte_is_torchs_own() -> None:
    torch.manual_seed(0)
    out = Dropout(0.001)(torch.ones(1_000_000))
    assert 600 < int((out == 0).sum()) < 1_400


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_an_impossible_share_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"expected a share"):
        Dropout(p)
