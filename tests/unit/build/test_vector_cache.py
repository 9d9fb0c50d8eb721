"""Vectors survive interruptions; a damaged tail costs itself alone."""

import errno
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from indexes.build.vector_cache import DIGEST, Digests, VectorCache
from indexes.items.text import text_digest


def digests(*texts: str) -> Digests:
    return np.array([text_digest(text) for text in texts], dtype=DIGEST)


def vectors(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32)


def test_vectors_come_back_after_reopening(tmp_path: Path) -> None:
    path, two = tmp_path / "a.bin", vectors(2)
    with VectorCache(path) as cache:
        cache.append(digests("x", "y"), two)
    with VectorCache(path) as cache:
        assert cache.known(digests("y", "z", "x")).tolist() == [True, False, True]
        assert cache.vectors(digests("y", "x", "y")) == pytest.approx(two[[1, 0, 1]], abs=2e-3)


@pytest.mark.promise(11)
@pytest.mark.parametrize("cut", [1, 8, 20, 55])
def test_a_write_cut_short_costs_its_block_alone(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.bin"
    with VectorCache(path) as cache:
        cache.append(digests("x", "y"), vectors(2))
        cache.append(digests("z"), vectors(1))
    path.write_bytes(path.read_bytes()[:-cut])
    with VectorCache(path) as cache:
        assert cache.known(digests("x", "y", "z")).tolist() == [True, True, False]
        cache.append(digests("z"), vectors(1))
    with VectorCache(path) as cache:
        assert cache.known(digests("x", "y", "z")).all()


@pytest.mark.promise(8)
def test_a_flipped_bit_is_never_read_as_a_vector(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with VectorCache(path) as cache:
        cache.append(digests("x"), vectors(1))
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with VectorCache(path) as cache:
            assert not cache.known(digests("x")).any()


def test_compaction_keeps_what_is_live(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    names = [str(n) for n in range(100)]
    with VectorCache(path) as cache:
        cache.append(digests(*names), vectors(100))
        kept = cache.vectors(digests("3", "5"))
        before = path.stat().st_size
        assert not cache.compact(digests(*names[:60]))
        assert cache.compact(digests("3", "5", "3"))
        assert len(cache) == 2
        assert path.stat().st_size < before / 20
        assert np.array_equal(cache.vectors(digests("3", "5")), kept)
        cache.append(digests("new"), vectors(1))
    with VectorCache(path) as cache:
        assert cache.known(digests("3", "new", "7")).tolist() == [True, True, False]


@pytest.mark.promise(9)
def test_a_full_disk_while_compacting_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, names = tmp_path / "a.bin", digests(*map(str, range(100)))
    with VectorCache(path) as cache:
        cache.append(names, vectors(100))

        def full(*_block: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(VectorCache, "append", full)
            with pytest.raises(OSError, match="space"):
                cache.compact(names[:3])
        assert cache.known(names).all()
    assert [found.name for found in tmp_path.iterdir()] == ["a.bin"]


def test_many_vectors_are_read_without_much_more_memory_than_they_take(tmp_path: Path) -> None:
    with VectorCache(tmp_path / "a.bin") as cache:
        names = digests(*map(str, range(5000)))
        cache.append(names, np.ones((5000, 256), dtype=np.float32))
        cache.known(names)
        tracemalloc.start()
        found = cache.vectors(names)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 * found.nbytes


def test_digests_ending_in_zero_bytes_stay_apart(tmp_path: Path) -> None:
    ends = np.array([b"a" * 15 + b"\0", b"a" * 14 + b"\0\0"], dtype=DIGEST)
    with VectorCache(tmp_path / "a.bin") as cache:
        cache.append(ends[:1], vectors(1))
        assert cache.known(ends).tolist() == [True, False]
