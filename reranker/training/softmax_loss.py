"""softmax_loss.py: user vectors, item vectors and true places -> full softmax cross-entropy.

Scores, loss and both gradients of a few users are computed while their scores are in the cache, so
the whole (users, items) matrix never exists: a third of the time on two cores (tests/benchmarks).
"""

from typing import Any, Final

import torch

_SCORES_AT_ONCE: Final = 2_000_000  # 8 MB of float32
_FEWEST: Final = 128  # users at once; with fewer the products get slow


class _SoftmaxLoss(torch.autograd.Function):
    """d loss / d score = softmax - truth, so the gradients are known with the loss itself."""

    @staticmethod
    def forward(
        ctx: Any, users: torch.Tensor, items: torch.Tensor, places: torch.Tensor, bfloat16: bool
    ) -> torch.Tensor:
        kind = torch.bfloat16 if bfloat16 else users.dtype
        some_users, some_items = users.detach().to(kind), items.detach().to(kind)
        columns = some_items.T.contiguous()
        to_users = torch.empty_like(users)
        to_items = torch.zeros_like(items)
        total = users.new_zeros(())
        step = max(_FEWEST, _SCORES_AT_ONCE // max(len(items), 1))
        for first in range(0, len(users), step):
            part, place = some_users[first : first + step], places[first : first + step, None]
            scores = (part @ columns).to(users.dtype)
            scores -= scores.amax(dim=1, keepdim=True)
            true = scores.gather(1, place)
            shares = scores.exp_()
            sums = shares.sum(dim=1, keepdim=True)
            total += (sums.log() - true).sum()
            shares *= 1.0 / (sums * len(users))
            shares.scatter_add_(1, place, torch.full_like(sums, -1.0 / len(users)))
            slopes = shares.to(kind)
            to_users[first : first + step] = slopes @ some_items
            to_items += slopes.T @ part
        ctx.save_for_backward(to_users, to_items)
        return total / len(users)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        to_users, to_items = ctx.saved_tensors
        return grads[0] * to_users, grads[0] * to_items, None, None


def softmax_loss(
    users: torch.Tensor, items: torch.Tensor, places: torch.Tensor, bfloat16: bool = False
) -> torch.Tensor:
    """Mean of -log softmax(users @ items.T) at each user's true place, as cross_entropy gives it.

    users (p, d), items (k, d), places (p,): numbers from 0 to k - 1. bfloat16: of the products;
    sums and exponentials stay as precise as the vectors.
    """
    loss: torch.Tensor = _SoftmaxLoss.apply(users, items, places, bfloat16)  # type: ignore[no-untyped-call]
    return loss
