"""losses.py: user vectors and the items that came -> the loss, over all items or a sample.

Full: softmax cross-entropy over every item seen in training. Sampled: the denominator is estimated
from items drawn once for the whole step, each counted 1 / (how often it is drawn) times (logQ).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from indexes.storage.arrays import Ints
from reranker.training.batches import Batch
from reranker.training.model import Items, SequenceModel

_SCORES_AT_ONCE: Final = 2_000_000  # 8 MB of float32
_FEWEST: Final = 128  # users at once; with fewer the products get slow

_POPULAR = 0.75  # how far the frequent are drawn more often


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


@dataclass(frozen=True, eq=False)
class Denominator:
    """Which items stand in the softmax: all (k,), or some drawn by their log probability."""

    rows: torch.Tensor  # (k,) catalogue rows
    log_expected: torch.Tensor | None = None  # (k,) log of how often each is drawn

    def to(self, device: torch.device) -> "Denominator":
        log = self.log_expected
        return Denominator(self.rows.to(device), None if log is None else log.to(device))


class Sampler:
    """Draws shared negatives, the frequent more often; all items where there are few enough."""

    def __init__(self, seen: Ints, counts: Ints, negatives: int, full_up_to: int) -> None:
        """seen (k,): catalogue rows that training knows, counts (k,): how often."""
        self._rows = torch.from_numpy(seen)
        self._negatives = negatives
        self.full = len(seen) <= full_up_to
        share = counts.astype(np.float64) ** _POPULAR
        share /= share.sum()
        self._log = torch.from_numpy(np.log(share * negatives).astype(np.float32))
        self._sums = np.cumsum(share)

    def draw(self, rng: np.random.Generator) -> Denominator:
        if self.full:
            return Denominator(self._rows)
        at = np.searchsorted(self._sums, rng.random(self._negatives) * self._sums[-1])
        places = torch.from_numpy(np.minimum(at, len(self._sums) - 1))
        return Denominator(self._rows[places], self._log[places])


def next_item_loss(
    model: SequenceModel,
    items: Items,
    batch: Batch,
    targets: torch.Tensor,
    denominator: Denominator,
) -> torch.Tensor:
    """Mean loss of the events of a batch; targets (p,) are catalogue rows."""
    known = model.known_ids()
    users = model(batch, items, known)  # (p, d)
    others_vectors = model.item_vectors(items, denominator.rows, known)  # (k, d)
    if denominator.log_expected is None:
        place = torch.full((len(items),), -1, device=targets.device)
        place[denominator.rows] = torch.arange(len(denominator.rows), device=targets.device)
        bfloat16 = torch.is_autocast_enabled(users.device.type)
        return softmax_loss(users.float(), others_vectors.float(), place[targets], bfloat16)
    logits = users @ others_vectors.T  # (p, k)
    true = (users * model.item_vectors(items, targets, known)).sum(dim=1, keepdim=True)
    others = logits.float() - denominator.log_expected
    others = others.masked_fill(denominator.rows == targets[:, None], -torch.inf)
    both = torch.cat([true.float(), others], dim=1)
    return (torch.logsumexp(both, dim=1) - both[:, 0]).mean()
