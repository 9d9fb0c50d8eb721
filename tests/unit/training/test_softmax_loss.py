"""test_softmax_loss.py: our loss and dropout against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import reranker.training.losses as fused
from reranker.training.encoders import dropout
from reranker.training.losses import softmax_loss


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 1000), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_loss_and_gradients_are_those_of_cross_entropy(
    users: int, items: int, seed: int, at_once: int
) -> None:
    torch.manual_seed(seed)
    first = torch.randn(users, 6, dtype=torch.float64, requires_grad=True)
    second = torch.randn(items, 6, dtype=torch.float64, requires_grad=True)
    places = torch.randint(items, (users,))
    functional.cross_entropy(first @ second.T, places).backward()
    wanted = first.grad, second.grad
    first.grad = second.grad = None
    before = fused._FEWEST, fused._BYTES_AT_ONCE
    fused._FEWEST, fused._BYTES_AT_ONCE = at_once, 1  # several parts
    try:
        loss = softmax_loss(first, second, places)
        (2 * loss).backward()
    finally:
        fused._FEWEST, fused._BYTES_AT_ONCE = before
    assert loss.item() == pytest.approx(
        functional.cross_entropy(first @ second.T, places).item(), abs=1e-12
    )
    for found, right in zip((first.grad, second.grad), wanted, strict=True):
        torch.testing.assert_close(found, 2 * right)


def test_bfloat16_products_stay_near() -> None:
    torch.manual_seed(0)
    users, items = torch.randn(300, 32), torch.randn(500, 32)
    places = torch.randint(500, (300,))
    exact = softmax_loss(users, items, places)
    rounded = softmax_loss(users.bfloat16(), items, places)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=2e-3, atol=0)


def test_huge_scores_stay_finite() -> None:
    users = torch.full((2, 1), 1e4, requires_grad=True)
    loss = softmax_loss(users, torch.tensor([[1e3], [-1e3]]), torch.tensor([0, 1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(users.grad).all()


def test_dropout_leaves_the_share_out_and_keeps_the_mean() -> None:
    torch.manual_seed(3)
    values = torch.ones(1000, 300, requires_grad=True)
    left = dropout(values, 0.2, training=True)
    assert (left == 0).float().mean().item() == pytest.approx(0.2, abs=0.005)
    assert left.mean().item() == pytest.approx(1.0, abs=0.005)
    left.sum().backward()
    torch.testing.assert_close(values.grad, left.detach())
    torch.manual_seed(3)
    torch.testing.assert_close(dropout(values, 0.2, training=True), left)
    assert dropout(values, 0.2, training=False) is values
