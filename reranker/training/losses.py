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

_BYTES_AT_ONCE: Final = 4_000_000  # of scores: what stays in the processor's cache
_FEWEST: Final = 128  # users at once; with fewer the products get slow

_POPULAR = 0.75  # how far the frequent are drawn more often


class _SoftmaxLoss(torch.autograd.Function):
    """d loss / d score = softmax - truth, so the gradients are known with the loss itself."""

    @staticmethod
    def forward(
        ctx: Any, users: torch.Tensor, items: torch.Tensor, places: torch.Tensor
    ) -> torch.Tensor:
        users, some_items = users.detach(), items.detach().to(users.dtype)
        columns = some_items.T.contiguous()
        to_users = torch.empty_like(users)
        to_items = torch.zeros_like(items)
        total = items.new_zeros(())
        step = max(_FEWEST, _BYTES_AT_ONCE // max(len(items) * users.element_size(), 1))
        for first in range(0, len(users), step):
            part, place = users[first : first + step], places[first : first + step, None]
            scores = part @ columns
            shares = torch.softmax(scores, dim=1)
            # -log of a share that may be 0 as a number, from the largest one, which never is
            behind = scores.amax(dim=1, keepdim=True) - scores.gather(1, place)
            most = shares.amax(dim=1, keepdim=True)
            total += (behind.to(items.dtype) - most.to(items.dtype).log()).sum()
            shares.scatter_add_(1, place, shares.new_full(place.shape, -1.0))
            to_users[first : first + step] = shares @ some_items
            to_items += shares.T @ part
        ctx.save_for_backward(to_users, to_items)
        return total / len(users)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        to_users, to_items = ctx.saved_tensors
        scale = grads[0] / len(to_users)
        return to_users * scale.to(to_users.dtype), to_items * scale, None


def softmax_loss(users: torch.Tensor, items: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Mean of -log softmax(users @ items.T) at each user's true place, as cross_entropy gives it.

    users (p, d), items (k, d), places (p,): numbers from 0 to k - 1. Products and shares are of the
    users' kind of numbers (bfloat16, say), sums and the loss of the items'.
    """
    loss: torch.Tensor = _SoftmaxLoss.apply(users, items, places)  # type: ignore[no-untyped-call]
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
    """Mean loss of a batch's events, and of the model's parts; targets (p,) are catalogue rows."""
    known = model.known_ids()
    users = model(batch, items, known)  # (p, d)
    others = model.item_vectors(items, denominator.rows, known)  # (k, d)
    if denominator.log_expected is None:
        place = torch.full((len(items),), -1, device=targets.device)
        place[denominator.rows] = torch.arange(len(denominator.rows), device=targets.device)
        losses = [
            softmax_loss(users[:, part], others[:, part], place[targets]) for part in model.parts
        ]
    else:
        true = model.item_vectors(items, targets, known)  # (p, d)
        drawn = denominator.rows == targets[:, None]
        losses = [
            _sampled_loss(
                users[:, part], others[:, part], true[:, part], denominator.log_expected, drawn
            )
            for part in model.parts
        ]
    return torch.stack(losses).mean()


def _sampled_loss(
    users: torch.Tensor,
    others: torch.Tensor,
    true: torch.Tensor,
    log_expected: torch.Tensor,
    drawn: torch.Tensor,
) -> torch.Tensor:
    """users (p, d), drawn items' vectors (k, d), true items' (p, d); drawn (p, k): the true one."""
    own = (users * true).sum(dim=1, keepdim=True).float()
    logits = (users @ others.T.to(users.dtype)).float() - log_expected
    both = torch.cat([own, logits.masked_fill(drawn, -torch.inf)], dim=1)
    return (torch.logsumexp(both, dim=1) - own[:, 0]).mean()
