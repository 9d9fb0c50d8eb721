"""A request that comes in pieces: when it is there, and what is refused before."""

from hypothesis import given
from hypothesis import strategies as st
from test_slow_clients import HEAD, whole

from service.slow_clients import MOST_HEAD, Arriving

SENT = st.sampled_from([
    whole(), whole() + b"GET / HT", HEAD + b"\r\n", b"\r\n\r\n",
    HEAD + b"Content-Length: 3\r\n\r\n{}",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nxx\r\n",
])  # fmt: skip


@given(SENT, st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_pieces_come_to_the_same_as_all_at_once(sent: bytes, steps: list[int]) -> None:
    at_once = Arriving(1000)
    at_once.data += sent
    pieces, at, done = Arriving(1000), 0, False
    for step in [*steps, len(sent)]:
        pieces.data += sent[at : at + step]
        at += step
        done = pieces.complete()
        if done:
            break
    assert done == at_once.complete()
    assert pieces.cut == at_once.cut


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    for start in (b"", HEAD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"):
        arriving = Arriving(100)
        arriving.data += start + data
        arriving.complete()
        assert arriving.too_long is None


def test_a_head_without_an_end_is_refused() -> None:
    for data in (b"a" * (MOST_HEAD + 1), b"GET / HTTP/1.1\r\nX: " + b"a" * MOST_HEAD):
        arriving = Arriving(100)
        arriving.data += data
        assert not arriving.complete() and arriving.too_long
