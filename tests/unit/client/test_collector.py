"""The collector's file: small as it is, and alone."""

import gzip
import re

from support.paths import ROOT

SOURCE = ROOT / "reranker" / "client" / "collector.js"


def test_it_is_at_most_two_kilobytes_gzipped() -> None:
    assert len(gzip.compress(SOURCE.read_bytes(), mtime=0)) <= 2048


def test_it_loads_nothing_has_no_place_for_a_key_and_names_no_address() -> None:
    text = SOURCE.read_text()
    assert not re.search(r"https?://|\bimport\b|Authorization|eval\(|innerHTML|cookie", text)
