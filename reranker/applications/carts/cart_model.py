"""cart_model.py: a cart and what was bought before -> items with what speaks for each.

Published beside the sequence model as counts and neighbours, at most 100 an item. Serving,
fitting and evaluation read them through the same `pool`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Floats, Ints, Mask

ARRAYS: Final = "carts.safetensors"
CARD: Final = "carts.json"
NEIGHBOURS: Final = 100  # kept of each item
COMPONENTS: Final = ("together", "lift", "cosine", "ease", "past", "personal", "popular")
TASKS: Final = ("complete", "next")
BASKET_DECAY: Final = 0.9  # what each earlier basket of a shopper counts of the one after it
_MOST: Final = 100  # items of a cart, and of a history, whose neighbours are looked up
_POPULAR: Final = 200  # the most bought items that are always in the pool
_LIFT_PRIOR: Final = 5.0  # baskets by chance that an item's own are held against


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """A logistic regression: chance = sigmoid(bias + weights . inputs)."""

    inputs: list[str]
    weights: list[float]
    bias: float
    moments: int  # learned from
    base_rate: float
    measured: dict[str, float] = {}  # on a fifth of the shoppers, by what the others teach


class CartCard(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the arrays.

    total: decayed number of baskets. weights: by task, by component. chosen: by task, `blend` or
    the component that is served alone. same_shelf: shelves of which one item does complete another.
    """

    format: int = 1
    item_ids: list[str]
    total: float
    newest: float  # epoch seconds
    session_minutes: float
    weights: dict[str, dict[str, float]]
    chosen: dict[str, str]
    same_shelf: list[int]
    ordered: Ordered | None = None
    baskets: int = 0


@dataclass(frozen=True, eq=False)
class CartCounts:
    """Neighbours of each of m items and how often each was bought.

    at (m + 1,), near, pairs: decayed baskets with both. ease_at, ease_near, ease: EASE's weights.
    counts (m,): decayed baskets with the item. shelves (m,): category, 0 for none.
    """

    at: Ints
    near: npt.NDArray[np.int32]
    pairs: npt.NDArray[np.float32]
    ease_at: Ints
    ease_near: npt.NDArray[np.int32]
    ease: npt.NDArray[np.float32]
    counts: npt.NDArray[np.float32]
    shelves: npt.NDArray[np.int32]
    total: float

    @property
    def popular(self) -> Ints:
        """Numbers of all items, the most bought first; equal ones in their own order."""
        return np.argsort(-self.counts, kind="stable")


@dataclass(frozen=True, eq=False)
class Pool:
    """Items by number (k,), in order, and what speaks for each, (k, components)."""

    numbers: Ints
    columns: Floats

    def without(self, numbers: Ints) -> "Pool":
        """The same without these items."""
        stays = ~np.isin(self.numbers, numbers)
        return Pool(self.numbers[stays], self.columns[stays])


class CartReader:
    """Counts, ready to be asked."""

    def __init__(self, counts: CartCounts) -> None:
        self.counts = counts
        self.order = counts.popular
        self._top = np.sort(self.order[:_POPULAR])
        self._bought = np.maximum(counts.counts.astype(np.float64), 1e-9)
        self._popularity = np.log1p(self._bought)

    def pool(self, cart: Ints, past: list[Ints]) -> Pool:
        """cart: numbers of the items in it. past: the baskets before, oldest first.

        together: mean over the cart of the share of baskets with that item that hold this one, too.
        lift: mean of log(1 + baskets with both / by chance). cosine: mean of baskets with both /
        sqrt(baskets with one x with the other). ease: sum of EASE's weights. past: cosine with what
        was bought before, the newest counting most. personal: the share of the baskets before that
        hold it, each BASKET_DECAY of the one after it. popular: log(1 + decayed baskets).
        together, cosine, ease and past are as log(1 + 100 x).
        """
        counts = self.counts
        cart = cart[-_MOST:]
        owned, worth = personal_worth(past)
        flat, source = _flat(counts.at, cart)
        near, pairs = counts.near[flat], counts.pairs[flat].astype(np.float64)
        ease_flat, _ = _flat(counts.ease_at, cart)
        ease_near = counts.ease_near[ease_flat]
        newest = np.argsort(-worth, kind="stable")[:_MOST]
        old_flat, old_source = _flat(counts.at, owned[newest])
        old_near = counts.near[old_flat]
        numbers = np.unique(np.concatenate([near, ease_near, old_near, owned, self._top]))
        one, other = self._bought[source], self._bought[near]
        each = 1.0 / max(len(cart), 1)
        place = np.searchsorted(numbers, near)

        def added(places: Ints, amounts: Floats) -> Floats:
            return np.asarray(np.bincount(places, amounts, len(numbers)), np.float64)

        chance = (one + _LIFT_PRIOR) * (other + _LIFT_PRIOR) / max(counts.total, 1.0)
        together = added(place, each * pairs / one)
        lift = added(place, each * np.log1p(pairs / chance))
        cosine = added(place, each * pairs / np.sqrt(one * other))
        ease = added(np.searchsorted(numbers, ease_near), counts.ease[ease_flat].astype(np.float64))
        shares = np.zeros(len(counts.counts))
        shares[owned] = worth
        old = shares[old_source] * counts.pairs[old_flat]
        old /= np.sqrt(self._bought[old_source] * self._bought[old_near])
        before = added(np.searchsorted(numbers, old_near), old)
        columns = [
            *(_log(together), lift, _log(cosine), _log(np.maximum(ease, 0.0)), _log(before)),
            *(shares[numbers], self._popularity[numbers]),
        ]
        return Pool(numbers.astype(np.int64), np.column_stack(columns))

    def strongest(self, cart: Ints, number: int) -> int | None:
        """The item of the cart with which this one is bought most often, by cosine."""
        best, strength = None, 0.0
        for item in cart[-_MOST:].tolist():
            begin, end = self.counts.at[item : item + 2]
            place = np.flatnonzero(self.counts.near[begin:end] == number)
            if len(place):
                shared = float(self.counts.pairs[begin + place[0]]) / self._bought[item] ** 0.5
                if shared > strength:
                    best, strength = item, shared
        return best

    def substitutes(self, cart: Ints, numbers: Ints, same_shelf: Ints) -> Mask:
        """Which of these items (n,) are of a category in the cart, where that completes nothing."""
        shelves = self.counts.shelves
        taken = np.setdiff1d(shelves[cart], np.append(same_shelf, 0))
        return np.isin(shelves[numbers], taken)


def personal_worth(past: list[Ints]) -> tuple[Ints, Floats]:
    """Items bought before, by number, and the decayed share of the baskets that hold each."""
    if not past:
        return np.zeros(0, np.int64), np.zeros(0)
    ages = np.arange(len(past) - 1, -1, -1)
    worth = BASKET_DECAY**ages
    items = np.concatenate(past)
    owned, place = np.unique(items, return_inverse=True)
    sums = np.bincount(place, np.repeat(worth, [len(basket) for basket in past]), len(owned))
    return owned.astype(np.int64), sums / worth.sum()


def contributions(pool: Pool, weights: dict[str, float]) -> Floats:
    """(k, components): each column times its weight."""
    along = np.array([weights.get(name, 0.0) for name in COMPONENTS])
    return np.asarray(pool.columns * along)


def best_first(numbers: Ints, scores: Floats, counts: npt.NDArray[Any]) -> Ints:
    """Places of the items, by score, then by how often they are bought, then by number."""
    return np.lexsort((numbers, -counts[numbers], -scores))


def save(folder: Path, card: CartCard, counts: CartCounts) -> None:
    """Write both files; safetensors and JSON."""
    from safetensors.numpy import save_file

    names = ("at", "near", "pairs", "ease_at", "ease_near", "ease", "counts", "shelves")
    save_file(
        {name: np.ascontiguousarray(getattr(counts, name)) for name in names}, folder / ARRAYS
    )
    (folder / CARD).write_bytes(msgspec.json.encode(card))


def load(folder: Path) -> tuple[CartCard, CartReader] | None:
    """Both; None where the version was published without."""
    if not (folder / CARD).is_file():
        return None
    from safetensors.numpy import load_file

    card = msgspec.json.decode((folder / CARD).read_bytes(), type=CartCard)
    return card, CartReader(CartCounts(**load_file(folder / ARRAYS), total=card.total))


def _flat(at: Ints, numbers: Ints) -> tuple[Ints, Ints]:
    """Positions of all neighbours of these items, and whose each is."""
    starts = at[numbers]
    sizes = at[numbers + 1] - starts
    ends = np.cumsum(sizes)
    flat = np.repeat(starts - (ends - sizes), sizes) + np.arange(int(sizes.sum()))
    return flat, np.repeat(numbers, sizes)


def _log(values: Floats) -> Floats:
    return np.log1p(100.0 * values)
