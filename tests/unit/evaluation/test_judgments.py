"""test_judgments.py: judgments files, sound and dirty, as workbenches export them."""

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.items.words import folded
from indexes.readers.bad_lines import BadLine
from reranker.evaluation.judgments import Judgments, read_judgments
from reranker.evaluation.requests import JudgedRequestReader

GOOD: dict[str, Any] = {"id": "q1", "query": "red shoes", "candidates": [{"id": "a"}, {"id": "b"}]}


def written(folder: Path, name: str, *lines: bytes | str) -> Path:
    path = folder / name
    data = b"\n".join(one if isinstance(one, bytes) else one.encode() for one in lines) + b"\n"
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def judgments(path: Path) -> tuple[Judgments, list[BadLine]]:
    bad: list[BadLine] = []
    return read_judgments(path, bad.append), bad


def test_quepid_judgments_match_the_query_text_folded(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "j.csv.gz",
        "query,docid,rating",
        "Red  Shoes,a,2",
        '"red shoes","b, c",0.5',
        "RED SHOES ,a,2",  # the same again
        "red shoes,unrated,",
        "blue,z,1",
    )
    found, bad = judgments(path)
    assert not bad
    same, other = found.rated(
        [
            JudgedRequestReader().read(GOOD | {"query": " red\tSHOES"}),
            JudgedRequestReader().read(GOOD | {"query": "green"}),
        ]
    )
    assert same.ratings == {"a": 2.0, "b, c": 0.5}
    assert other.ratings == {}  # its own ratings are replaced too
    assert found.requests_matched == 1


def test_a_quepid_books_raters_are_averaged(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "book.csv",
        "query,docid,Ann,Bob,Unknown",
        "red shoes,a,3,2,",
        "red shoes,b,,,",
        "red shoes,c,,1,",
        "red shoes,d,2,good,1",
        "red shoes,e,2,-1,1",
    )
    found, bad = judgments(path)
    (request,) = found.rated([JudgedRequestReader().read(dict(GOOD))])
    assert request.ratings == {"a": (3 + 2) / 2, "c": 1.0}
    assert [(one.line, one.reason.split(";")[0]) for one in bad] == [
        (5, "rating is 'good'"),
        (6, "rating is -1.0"),
    ]


@pytest.mark.parametrize(
    ("name", "lines", "ratings", "unrated"),
    [
        (
            "case.csv",
            ["Query;DocId;Rating", "red shoes;a;0,5", "red shoes;7.0;2", "blue;;", "blue;b;"],
            {"a": 0.5, "7.0": 2.0},
            2,
        ),
        (
            "raters.csv",
            [
                "query,docid,rating,rater",
                "red shoes,a,1,r1",
                "red shoes,a,2,r2",
                "red shoes,a,2,r2",
            ],
            {"a": 1.5},
            0,
        ),
        (
            "ltr.txt",
            ["3\tqid:1\t# a\tred shoes", "0 qid:1 1:0.5 2:7 # b red shoes", "1\tqid:2\t# c\tblue"],
            {"a": 3.0, "b": 0.0},
            0,
        ),
        (
            "list.json",
            [
                '{"judgmentRatings": [{"query": "red shoes", "ratings":',
                '[{"docId": 17, "rating": 2}]}]}',
            ],
            {"17": 2.0},
            0,
        ),
    ],
)
def test_judgments_as_workbenches_export_them(
    tmp_path: Path, name: str, lines: list[str], ratings: dict[str, float], unrated: int
) -> None:
    found, bad = judgments(written(tmp_path, name, *lines))
    assert not bad
    (request,) = found.rated([JudgedRequestReader().read(dict(GOOD))])
    assert (request.ratings, found.unrated) == (ratings, unrated)


def test_one_rater_who_contradicts_is_reported(tmp_path: Path) -> None:
    path = written(
        tmp_path, "r.csv", "query,docid,rating,rater", "q,a,1,ann", "q,a,2,ann", "q,a,3,bob"
    )
    found, bad = judgments(path)
    assert [(one.line, one.reason) for one in bad] == [
        (3, "'a' is judged twice for 'q' by 'ann': 1 and 2")
    ]
    assert found.of(JudgedRequestReader().read(GOOD | {"query": "q"})) == {"a": 2.0}


@pytest.mark.parametrize("line", ["1\tqid:1\t# a", "1 qid:1", "nothing"])
def test_a_bad_line_for_learning_to_rank_is_named(tmp_path: Path, line: str) -> None:
    found, bad = judgments(written(tmp_path, "ltr.txt", "1\tqid:1\t# b\tred shoes", line))
    assert found.rows == 1
    assert [one.line for one in bad] == [2] and "grade qid:N # item<tab>query" in bad[0].reason


LIST = {
    "name": "Autumn",
    "judgmentRatings": [
        {
            "query": "Red  shoes",
            "ratings": [{"docId": "a", "rating": "2.000"}, {"docId": "b", "rating": 0.5}],
        },
        {"query": "c#", "ratings": [{"docId": "c", "rating": 1}]},
        {"query": "what is red?#Red is a colour.", "ratings": [{"docId": "d", "rating": "1"}]},
        {"query": "#1 gift", "ratings": [{"docId": "e", "rating": 1}]},
        {"query": "nothing yet", "ratings": []},
    ],
}


@pytest.mark.parametrize(
    "wrapped",
    [
        LIST,
        {"_index": "search-relevance-judgment", "_id": "1", "_source": LIST},
        {"hits": {"total": {"value": 1}, "hits": [{"_source": LIST}]}},
        [LIST],
    ],
)
@pytest.mark.parametrize("name", ["j.json", "j.json.gz"])
def test_a_workbench_judgment_list_matches_the_query_text(
    tmp_path: Path, wrapped: object, name: str
) -> None:
    found, bad = judgments(written(tmp_path, name, msgspec.json.encode(wrapped)))
    assert (found.rows, bad) == (5, [])
    queries = ("red shoes", "C#", "c", "What is red?", "red is a colour.", "nothing yet", "")
    rated = found.rated(JudgedRequestReader().read(GOOD | {"query": query}) for query in queries)
    assert [one.ratings for one in rated] == [
        {"a": 2.0, "b": 0.5},
        {"c": 1.0},
        {"c": 1.0},  # the text before the # stands for the query, where it has no ratings itself
        {"d": 1.0},
        {},
        {},
        {},
    ]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"ratings": []}, "needs a query and its ratings"),
        ({"query": " ", "ratings": []}, "needs a query and its ratings"),
        ("red", "needs a query and its ratings"),
        ({"query": "q", "ratings": [{"docId": "a"}]}, "a rating of 'q' needs a docId and a rating"),
        ({"query": "q", "ratings": [{"docId": None, "rating": 1}]}, "needs a docId"),
        ({"query": "q", "ratings": [{"docId": "a", "rating": "high"}]}, "rating is 'high'"),
        ({"query": "q", "ratings": [{"docId": "a", "rating": True}]}, "needs a docId"),
        ({"query": "b", "ratings": [{"docId": "a", "rating": 3}]}, "judged twice"),
    ],
)
def test_a_bad_workbench_rating_is_reported_and_skipped(
    tmp_path: Path, entry: object, reason: str
) -> None:
    good = {"query": "b", "ratings": [{"docId": "a", "rating": 1}]}
    file = msgspec.json.encode({"judgmentRatings": [good, entry]})
    found, bad = judgments(written(tmp_path, "j.json", file))
    assert found.rows == 1
    assert [one.line for one in bad] == [2]
    assert reason in bad[0].reason


@pytest.mark.parametrize("data", [b"{", b"{}", b'{"hits": 3}', b"[]", b"\xff"])
def test_json_that_is_no_judgment_list_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Failure, match="judgmentRatings"):
        judgments(written(tmp_path, "j.json", data))


def test_trec_judgments_match_the_request_id(tmp_path: Path) -> None:
    path = written(tmp_path, "qrels.txt", "q1 0 a 2", "q1\t0\tb\t-2", "", "q2 0 a 1")
    found, bad = judgments(path)
    assert not bad
    request, other = found.rated(
        map(JudgedRequestReader().read, (GOOD | {"id": "q1"}, GOOD | {"id": "Q1"}))
    )
    assert request.ratings == {"a": 2.0, "b": 0.0}  # spam counts as not relevant
    assert other.ratings == {}


@pytest.mark.parametrize(
    ("name", "head", "row", "reason"),
    [
        ("j.csv", "query,docid,rating", "q,a,good", "rating is 'good'; a number is expected"),
        ("j.csv", "query,docid,rating", "q,a,-1", "grades are numbers from 0"),
        ("j.csv", "query,docid,rating", "q,a,nan", "rating is nan"),
        ("j.csv", "query,docid,rating", " ,a,1", "query is empty"),
        ("j.csv", "query,docid,rating", "Q,b,3", "'b' is judged twice for 'q': 1 and 3"),
        ("qrels", "", "q 0 a", "a qrels line is"),
        ("qrels", "", b"q 0 \xff 1", "UTF-8"),
        ("qrels", "", "q 0 a nan", "rating is nan"),
        ("qrels", "", "q 0 a x", "rating is 'x'"),
        ("qrels", "", "q 0 b 3", "judged twice"),
    ],
)
def test_a_bad_judgment_is_reported_and_skipped(
    tmp_path: Path, name: str, head: str, row: str | bytes, reason: str
) -> None:
    good = "q,b,1" if name.endswith("csv") else "q 0 b 1"
    found, bad = judgments(written(tmp_path, name, head, good, row))
    assert found.rows == 1
    assert [one.line for one in bad] == [3]
    assert reason in bad[0].reason


def test_a_csv_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="'docid'"):
        judgments(written(tmp_path, "j.csv", "query,item,rating", "q,a,1"))


@given(st.text())
def test_folding_ignores_space_around(query: str) -> None:
    assert folded(f"  {query}\n") == folded(query)


def test_full_width_letters_are_the_same_letters() -> None:
    assert folded("ＴＶ　Set") == folded("tv set")
