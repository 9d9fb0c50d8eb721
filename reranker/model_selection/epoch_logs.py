"""epoch_logs.py: the epochs of a training -> lines for people, JSON, and TensorBoard's files."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from reranker.training.loop import Epoch

FOLDER: Final = "tensorboard"
HOW_TO_GET: Final = "no TensorBoard log is written; for one: pip install 'shop-reranker[train]'"


@contextmanager
def tensorboard_log(
    folder: Path, on_line: Callable[[str], object] = lambda _line: None
) -> Iterator[Callable[["Epoch"], None]]:
    """Loss, NDCG@10, hit@10 and the seconds of each epoch; read by `tensorboard --logdir`.

    A training that goes on after an interruption adds to the folder. Where TensorBoard is missing,
    on_line is told once how to get it, and nothing is written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        on_line(HOW_TO_GET)
        yield lambda _epoch: None
        return
    began = time.perf_counter()

    def note(epoch: "Epoch") -> None:
        nonlocal began
        now = time.perf_counter()
        for name, value in (
            ("loss", epoch.loss),
            ("ndcg@10", epoch.ndcg_at_10),
            ("hit@10", epoch.hit_at_10),
            ("seconds_per_epoch", now - began),
        ):
            writer.add_scalar(name, value, epoch.epoch)
        writer.flush()
        began = now

    with SummaryWriter(str(folder)) as writer:
        yield note


@contextmanager
def epoch_log(
    path: Path | None, on_line: Callable[[str], object]
) -> Iterator[Callable[["Epoch"], object]]:
    """Each epoch as a line for a person, and as JSON in a file that is added to."""
    if path is None:
        yield lambda epoch: on_line(_line(epoch))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:

        def note(epoch: "Epoch") -> None:
            on_line(_line(epoch))
            file.write(msgspec.json.encode(epoch) + b"\n")
            file.flush()

        yield note


def _line(epoch: "Epoch") -> str:
    mark = "  best so far" if epoch.best else ""
    return (
        f"epoch {epoch.epoch:>3}  loss {epoch.loss:.4f}  NDCG@10 {epoch.ndcg_at_10:.4f}  "
        f"hit@10 {epoch.hit_at_10:.4f}  {epoch.seconds:,.1f} s{mark}"
    )


@contextmanager
def epoch_bars(stage: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """A bar for each epoch; hidden when stderr is not a terminal."""
    from tqdm import tqdm

    with tqdm(desc=stage, total=total, unit=" histories", disable=None, leave=False) as bar:
        yield bar.update
