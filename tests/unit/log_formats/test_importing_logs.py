"""Logs of other systems, imported as they are exported."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.event_files import kept

from indexes.errors import Failure
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.feedback.files import delete_old, rankings_folder
from reranker.feedback.imported_rankings import ImportedRankings
from reranker.feedback.records import LoggedRanking, ranking_files, read_rankings
from reranker.feedback.settings import RankingLogSettings
from reranker.histories.store import open_histories
from reranker.ingestion.importer import Importer, ImportSummary
from reranker.ingestion.log_reading import LogReading
from reranker.log_formats.column_maps import read_columns
from service.commands.cli import run

AT = "2026-11-20T10:00:00.000Z"
PAST = 1_795_428_000_123_456  # microseconds


def put(
    home: Path, path: Path, *columns: str, name: str | None = None, share: float | None = None
) -> ImportSummary:
    workspace = Workspace(home)
    log = LogReading.of(workspace, path, name, read_columns(columns), ImportedRankings(workspace))
    histories = open_histories(workspace)
    try:
        return Importer(workspace, path, silent, log).run(histories, share)
    finally:
        histories.close()


def rankings(home: Path) -> list[LoggedRanking]:
    return list(read_rankings(ranking_files(rankings_folder(Workspace(home))), pytest.fail))


def lines(path: Path, *rows: Any) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def table(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def short(events: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(event.get(name) for name in names) for event in events]


# UBI

CLICK = {
    "action_name": "click",
    "query_id": "q1",
    "client_id": "c1",
    "session_id": "s1",
    "timestamp": AT,
    "event_attributes": {"object": {"object_id": 17}, "position": {"ordinal": 2}},
}
QUERY = {
    "query_id": "q1",
    "user_query": "Red Shoes",
    "client_id": "c1",
    "timestamp": AT,
    "object_id_field": "id",
    "query_response_id": "r1",
    "query_response_hit_ids": ["3", "17", "5"],
}


def test_ubi_queries_are_rankings_and_events_follow_them(tmp_path: Path) -> None:
    cart = CLICK | {
        "action_name": "add_to_cart",
        "user_id": "u1",
        "timestamp": "2026-11-20T11:00:00+01:00",
    }
    hover = CLICK | {"action_name": "item_hover"}
    done = put(tmp_path / "h", lines(tmp_path / "ubi.ndjson.gz", QUERY, CLICK, cart, hover))
    assert (done.format, done.stored, done.rankings, done.rejected) == ("ubi", 3, 1, 0)
    assert done.passed_over == {"action item_hover": 1}
    assert short(kept(tmp_path / "h", "c1"), "type", "item", "query", "ranking", "position") == [
        ("search", None, "red shoes", "q1", None),
        ("view", "17", None, "q1", 2),
    ]
    [ranking] = rankings(tmp_path / "h")
    assert (ranking.id, ranking.query, ranking.items) == ("q1", "Red Shoes", ["3", "17", "5"])
    assert ranking.user is not None and ranking.user.startswith("~")  # under a pseudonym
    again = put(tmp_path / "h", tmp_path / "ubi.ndjson.gz")
    assert (again.stored, again.rankings, again.rankings_already_logged) == (0, 0, 1)


@pytest.mark.parametrize("shape", ["array", "bulk", "search", "scroll lines"])
def test_ubi_as_engines_dump_it(tmp_path: Path, shape: str) -> None:
    hits = [
        {"_index": "ubi", "_id": f"d{n}", "_source": row} for n, row in enumerate([QUERY, CLICK])
    ]
    path = tmp_path / "dump.json"
    if shape == "array":
        path.write_text(json.dumps([QUERY, CLICK], indent=1))
    elif shape == "bulk":
        lines(path, {"index": {"_index": "ubi_queries"}}, QUERY, {"create": {"_id": "7"}}, CLICK)
    elif shape == "search":
        path.write_text(
            json.dumps(
                {"took": 3, "timed_out": False, "hits": {"total": {"value": 2}, "hits": hits}}
            )
        )
    else:
        lines(path, *hits)
    done = put(tmp_path / "h", path)
    assert (done.format, done.stored, done.rankings) == ("ubi", 2, 1)


def test_ubi_document_numbers_are_no_items(own_home: Path, tmp_path: Path) -> None:
    without = {name: value for name, value in QUERY.items() if name != "object_id_field"}
    docs = [
        without | {"query_id": f"q{n}", "query_response_hit_ids": [n, 900 + n]} for n in range(4)
    ]
    seen = [
        CLICK
        | {"action_name": "impression", "user_query": "red shoes"}
        | {"event_attributes": {"object": {"object_id": item}, "position": {"ordinal": place}}}
        for place, item in ((2, "17"), (1, "25"))
    ]
    done = put(own_home, lines(tmp_path / "q.jsonl", *docs, *seen, CLICK))
    assert (done.rankings, done.rankings_by_number) == (1, 4)
    assert "document numbers" in done.warnings[0] and "object_id_field" in done.warnings[0]
    assert [ranking.items for ranking in rankings(own_home)] == [["25", "17"]]
    real = [row | {"query_response_hit_ids": ["17", "25"]} for row in docs]  # numbers, and ids
    done = put(tmp_path / "h", lines(tmp_path / "r.jsonl", *real, CLICK))
    assert (done.rankings, done.rankings_by_number, done.warnings) == (4, 0, [])


def test_ubi_one_bad_event_costs_itself(tmp_path: Path) -> None:
    bad = [
        CLICK | {"event_attributes": {"object": {"internal_id": 5}}},
        CLICK | {"timestamp": "soon"},
        CLICK | {"action_name": None},
    ]
    done = put(tmp_path / "h", lines(tmp_path / "e.jsonl", CLICK, *bad), share=0.9)
    assert (done.stored, done.rejected) == (1, 3)
    assert set(done.rejected_by_field) == {
        "event_attributes.object.object_id",
        "time",
        "action_name",
    }


def test_ubi_flat_table(tmp_path: Path) -> None:
    place = "event_attributes.object.object_id,event_attributes.position.ordinal"
    header = f"timestamp,query_id,action_name,client_id,{place}"
    done = put(tmp_path / "h", table(tmp_path / "e.csv", header, f"{AT},q1,item_click,c1,17,3"))
    assert (done.format, done.stored) == ("ubi", 1)
    assert short(kept(tmp_path / "h", "c1"), "item", "position") == [("17", 3)]


# Google


def ga4(name: str, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    row = {"event_date": "20261123", "event_timestamp": str(PAST), "event_name": name}
    params = [{"key": "ga_session_id", "value": {"string_value": None, "int_value": "7"}}]
    return row | {"user_pseudo_id": "1.2", "items": list(items), "event_params": params} | more


def test_ga4_events_and_lists(tmp_path: Path) -> None:
    term = [{"key": "search_term", "value": {"string_value": "Red Shoes"}}]
    shown = [{"item_id": "5", "index": "2"}, {"item_id": "17", "index": "1"}]
    rows = [
        ga4("view_search_results", *shown, event_params=term),
        ga4("select_item", {"item_id": "17", "item_list_index": "1"}),
        ga4(
            "purchase",
            {"item_id": "17", "price": 9.5, "quantity": "2"},
            {"item_id": "5"},
            user_id="u1",
        ),
        ga4("page_view"),
        ga4("view_item", {"item_id": "(not set)", "item_name": "x"}),
        ga4("view_item", {"item_id": "3"}, user_pseudo_id=None, event_params=[]),
        ga4("view_item", {"item_id": "3"}, privacy_info={"analytics_storage": "No"}),
    ]
    done = put(tmp_path / "h", lines(tmp_path / "ga4.jsonl", *rows))
    assert (done.format, done.stored, done.rankings, done.without_consent) == ("ga4", 4, 1, 1)
    assert done.passed_over == {
        "event page_view": 1,
        "view_item without items": 1,
        "events of nobody (no user_pseudo_id)": 1,
    }
    assert short(kept(tmp_path / "h", "1.2"), "type", "item", "query") == [
        ("search", None, "red shoes"),
        ("view", "17", None),
    ]
    bought = kept(tmp_path / "h", "u1")
    assert short(bought, "item", "price", "quantity") == [("17", 9.5, 2.0), ("5", None, None)]
    assert bought[0]["time"] == PAST / 1e6
    assert rankings(tmp_path / "h")[0].items == ["17", "5"]


def test_google_retail_joins_by_attribution_token(tmp_path: Path) -> None:
    base = {"visitorId": "v1", "sessionId": "s", "eventTime": AT, "attributionToken": "tok"}
    name = "projects/p/locations/global/catalogs/c/branches/0/products/17"
    rows = [
        base
        | {
            "eventType": "search",
            "searchQuery": "tea",
            "productDetails": [{"product": {"id": "5"}}, {"product": {"id": "17"}}],
        },
        base | {"eventType": "detail-page-view", "productDetails": [{"product": {"name": name}}]},
        base
        | {
            "eventType": "purchase-complete",
            "userInfo": {"userId": "u1"},
            "productDetails": [{"product": {"id": "17"}, "quantity": 2}],
        },
        base | {"eventType": "home-page-view"},
    ]
    done = put(tmp_path / "h", lines(tmp_path / "e.jsonl", *rows))
    assert (done.format, done.stored, done.rankings) == ("google-retail", 3, 1)
    assert short(kept(tmp_path / "h", "v1"), "type", "item", "ranking")[1] == ("view", "17", "tok")
    snake = {
        "visitor_id": "v2",
        "event_time": AT,
        "event_type": "add-to-cart",
        "product_details": [{"product": {"id": "17"}, "quantity": "1"}],
    }
    older = {
        "userInfo": {"visitorId": "v2"},
        "eventTime": AT,
        "eventType": "detail-page-view",
        "productEventDetail": {"productDetails": [{"id": "5"}]},
    }
    done = put(tmp_path / "h", lines(tmp_path / "f.jsonl", snake, older))
    assert short(kept(tmp_path / "h", "v2"), "type", "item") == [("cart", "17"), ("view", "5")]


# Metarank


def test_metarank_rankings_and_interactions(tmp_path: Path) -> None:
    base = {"timestamp": "1795428000000", "user": "u1", "session": "s1"}
    search = [{"name": "query", "value": "tea"}]
    rows = [
        base
        | {"event": "item", "id": "i", "item": "17", "fields": [{"name": "price", "value": 5}]},
        base
        | {
            "event": "ranking",
            "id": "r1",
            "fields": search,
            "items": [{"id": "5", "relevancy": 1.5}, {"id": "17", "relevancy": 2.5}],
        },
        base | {"event": "interaction", "id": "e1", "item": "17", "type": "click", "ranking": "r1"},
        base
        | {
            "event": "interaction",
            "id": "e2",
            "item": "17",
            "type": "purchase",
            "fields": [{"name": "price", "value": 9}],
        },
        base | {"event": "interaction", "id": "e3", "type": "click"},
        base | {"event": "ranking", "id": "r2", "items": []},
        base | {"event": "dance", "id": "e4"},
    ]
    done = put(tmp_path / "h", lines(tmp_path / "e.jsonl.gz", *rows), share=0.9)
    assert (done.format, done.stored, done.rejected, done.rankings) == ("metarank", 3, 3, 1)
    assert short(kept(tmp_path / "h", "u1"), "type", "item", "ranking", "price") == [
        ("search", None, "r1", None),
        ("view", "17", "r1", None),
        ("purchase", "17", None, 9.0),
    ]
    [ranking] = rankings(tmp_path / "h")
    assert ranking.items == ["5", "17"] and ranking.engine_order() == ["17", "5"]


# Tables


def test_public_exports(tmp_path: Path) -> None:
    rocket = table(
        tmp_path / "rocket.csv",
        "timestamp,visitorid,event,itemid,transactionid",
        "1433221332117,257597,view,355908,",
        "1433221332118,257597,addtocart,355908,",
        "1433221332119,257597.0,transaction,355908.0,4000.0",
    )
    assert put(tmp_path / "r", rocket).format == "retailrocket"
    assert short(kept(tmp_path / "r", "257597"), "type", "item") == [
        ("view", "355908"),
        ("cart", "355908"),
        ("purchase", "355908"),
    ]
    rees = table(
        tmp_path / "rees.csv",
        "user_id,event_time,event_type,product_id,category_id,category_code,brand,price,user_session",
        "1,2019-11-01 00:00:00 UTC,view,17,9,a.b,x,10.5,s-1",
        "1,2019-11-01 00:00:05 UTC,remove_from_cart,17,9,,,10.5,s-1",
    )
    assert put(tmp_path / "e", rees).types == {"view": 1, "uncart": 1}
    orders = table(
        tmp_path / "kz.csv",
        "event_time,order_id,product_id,category_id,category_code,brand,price,user_id",
        "2020-04-24 11:50:39 UTC,2294359932054536986,1515966223509089906,1,,x,1.0,1515915625441993",
        "2020-04-24 11:50:40 UTC,2294359932054536987,1515966223509089906,2.26e18,,x,162.01,",
    )
    done = put(tmp_path / "k", orders)
    assert (done.format, done.types, done.anonymous_sessions) == ("rees46", {"purchase": 2}, 1)


@pytest.mark.parametrize(
    ("header", "day"),
    [
        (
            "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country",
            "2010-12-01 08:26:00",
        ),
        (
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
            "12/1/2010 8:26",
        ),
    ],
)
def test_online_retail(tmp_path: Path, header: str, day: str) -> None:
    path = table(
        tmp_path / "r.csv",
        header,
        f"536365,85123A,HOLDER,6,{day},2.55,17850.0,United Kingdom",
        f"C536366,85123a,HOLDER,-1,{day},2.55,17850.0,United Kingdom",
        f"536367,22632,WARMER,2,{day},1.85,,United Kingdom",
        f"536368,POST,POSTAGE,1,{day},18.0,17850.0,France",
        f"536369,22632,damages,-9,{day},0,,United Kingdom",
        f"A563185,B,Adjust bad debt,1,{day},11062.06,,United Kingdom",
    )
    done = put(tmp_path / "h", path)
    assert (done.format, done.stored, done.rejected, done.anonymous_sessions) == (
        "online-retail",
        3,
        0,
        1,
    )
    assert sum(done.passed_over.values()) == 3
    events = kept(tmp_path / "h", "17850")
    assert short(events, "type", "item", "quantity") == [
        ("purchase", "85123A", 6.0),
        ("cancel", "85123A", 1.0),
    ]
    assert events[0]["time"] == 1_291_191_960.0


def test_instacart(tmp_path: Path) -> None:
    table(
        tmp_path / "orders.csv",
        "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order",
        "12,1,prior,2,3,07,15.0",
        "11,1,prior,1,2,08,",
        "13,2,prior,1,0,09,",
    )
    header = "order_id,product_id,add_to_cart_order,reordered"
    path = table(
        tmp_path / "order_products__prior.csv",
        header,
        "12,17,1,1",
        "11,17,1,0",
        "11,5,2,0",
        "13,5,1,0",
        "99,5,1,0",
    )
    done = put(tmp_path / "h", path, share=0.5)
    assert (done.format, done.stored, done.rejected) == ("instacart", 4, 1)
    assert "no dates" in done.warnings[0]
    one = kept(tmp_path / "h", "1")
    assert short(one, "item") == [("17",), ("5",), ("17",)]
    assert one[2]["time"] - one[0]["time"] == 15 * 86_400 - 3600
    both = table(
        tmp_path / "both.csv",
        "user_id,order_number,order_id,product_id,add_to_cart_order",
        "1,2,12,17,1",
        "1,1,11,5,1",
        "1,1,11,6,2",
    )
    put(tmp_path / "b", both)
    assert short(kept(tmp_path / "b", "1"), "item") == [("5",), ("6",), ("17",)]
    with pytest.raises(Failure, match="order_products__prior"):
        put(tmp_path / "o", tmp_path / "orders.csv")
    (tmp_path / "orders.csv").unlink()
    with pytest.raises(Failure, match="orders.csv"):
        put(tmp_path / "o", path)


def test_a_map_of_columns(tmp_path: Path) -> None:
    path = table(
        tmp_path / "shop.csv",
        "what;sku;customer;at;search;place;term",
        "impression;17;9;2026-11-20 10:00;x1;2;lamp",
        "impression;5;9;2026-11-20 10:00;x1;1;lamp",
        "click;17;9;2026-11-20 10:01;x1;;",
    )
    said = "item=sku,user=customer,time=at", "type=what,ranking=search,position=place,query=term"
    done = put(tmp_path / "h", path, *said)
    assert (done.format, done.stored, done.rankings) == ("columns", 1, 1)
    [ranking] = rankings(tmp_path / "h")
    assert (ranking.items, ranking.query) == (["5", "17"], "lamp")
    orders = table(tmp_path / "o.csv", "sku,who,at", "17,9,2026-11-20")
    put(tmp_path / "o", orders, "item=sku,user=who,time=at,type==purchase")
    assert short(kept(tmp_path / "o", "9"), "type", "item") == [("purchase", "17")]
    nested = lines(
        tmp_path / "n.jsonl",
        {
            "a": {"sku": 17},
            "who": [{"key": "id", "value": {"int_value": "9"}}],
            "time": AT,
            "type": "view",
        },
    )
    put(tmp_path / "n", nested, "item=a.sku,user=who.id", name="columns")
    assert short(kept(tmp_path / "n", "9"), "item") == [("17",)]
    answers = table(tmp_path / "a.csv", "id,user,time,query,shown", f"x9,9,{AT},lamp,17|5|3")
    assert put(tmp_path / "a", answers, "items=shown").rankings == 1
    assert rankings(tmp_path / "a")[0].items == ["17", "5", "3"]
    shown = lines(tmp_path / "z.jsonl", {"id": "x9", "user": "9", "time": AT, "shown": [5, 0, 3]})
    put(tmp_path / "z", shown, "items=shown")
    assert rankings(tmp_path / "z")[0].items == ["5", "0", "3"]


def test_an_impression_that_tells_no_time_costs_itself(tmp_path: Path) -> None:
    seen = {"type": "impression", "user": "9", "item": "17"}
    path = lines(
        tmp_path / "seen.jsonl",
        seen | {"ranking": "x1", "time": AT},
        seen | {"ranking": "x2"},
        {"type": "click", "user": "9", "item": "17", "time": AT},
    )
    done = put(tmp_path / "h", path, "user=user")
    assert (done.stored, done.rankings) == (1, 1)
    assert [ranking.id for ranking in rankings(tmp_path / "h")] == ["x1"]
    assert "1 ranking" in " ".join(done.warnings)


@pytest.mark.parametrize("said", ["colour=x", "user", "user=", "user=a,user=b"])
def test_a_map_that_says_nothing_is_refused(said: str) -> None:
    with pytest.raises(Failure, match="--map"):
        read_columns((said,))


def test_what_a_map_takes_from_known_formats(tmp_path: Path) -> None:
    path = lines(tmp_path / "e.jsonl", QUERY | {"query_attributes": {"customer": "m5"}}, CLICK)
    put(tmp_path / "h", path, "user=query_attributes.customer")
    assert short(kept(tmp_path / "h", "m5"), "type") == [("search",)]
    with pytest.raises(Failure, match="has no column 'nothing'"):
        put(
            tmp_path / "t",
            table(tmp_path / "t.csv", "a,time,type", "1,2,view"),
            "item=nothing",
            name="columns",
        )


def test_columns_may_stand_in_any_order_and_case(tmp_path: Path) -> None:
    rows = [
        {
            "ITEMID": 17.0,
            "Event": "view",
            "visitorid": 5.0,
            "transactionid": None,
            "timestamp": 1433221332117,
        },
    ]
    done = put(tmp_path / "h", lines(tmp_path / "e.jsonl", *rows))
    assert (done.format, done.stored) == ("retailrocket", 1)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";")
    writer.writerows(
        [["itemid", "timestamp", "visitorid", "event"], ["17", "1433221332117", "5", "view"]]
    )
    (tmp_path / "e.csv").write_text(out.getvalue())
    assert put(tmp_path / "h", tmp_path / "e.csv").format == "retailrocket"


def test_events_of_our_own_are_never_taken_for_others(tmp_path: Path) -> None:
    row = {
        "time": AT,
        "type": "view",
        "user": "u",
        "item": "1",
        "event": "interaction",
        "timestamp": "1",
        "action_name": "click",
    }
    done = put(tmp_path / "h", lines(tmp_path / "e.jsonl", row))
    assert (done.format, done.stored) == ("events", 1)


def test_imported_rankings_go_by_the_day_they_came(tmp_path: Path) -> None:
    old = QUERY | {"timestamp": "2019-05-01T10:00:00Z"}
    put(tmp_path / "h", lines(tmp_path / "q.jsonl", old))
    folder = rankings_folder(Workspace(tmp_path / "h"))
    settings = RankingLogSettings(days=30)
    assert delete_old(folder, settings) == 0 and len(rankings(tmp_path / "h")) == 1
    [file] = folder.iterdir()
    file.rename(folder / f"{file.name[:10]}.imported-2019-06-01.jsonl")
    assert delete_old(folder, settings) == 1
    assert msgspec.json.encode(settings)


def test_what_a_log_shows_and_what_followed_become_requests(tmp_path: Path) -> None:
    """Through the program: import, then requests."""
    home, out = str(tmp_path / "h"), tmp_path / "requests.jsonl"
    queries = lines(tmp_path / "q.ndjson", QUERY, QUERY | {"query_id": "q2"})
    clicks = lines(tmp_path / "e.ndjson", CLICK | {"timestamp": "2026-11-20T10:00:05Z"})
    for path in (queries, clicks):
        assert run(["--home", home, "events", "import", str(path), "--json"]) == 0
    assert run(["--home", home, "requests", "from-events", "--out", str(out)]) == 0
    [request] = map(json.loads, out.read_text().splitlines())
    assert (request["id"], request["query"]) == ("q1", "Red Shoes")
    assert request["shown"] == ["3", "17", "5"] and request["ratings"] == {"17": 1.0}


def test_the_summary_names_format_and_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lines(tmp_path / "e.jsonl", CLICK, CLICK | {"action_name": "login"})
    assert run(["--home", str(tmp_path / "h"), "events", "import", str(path)]) == 0
    text = capsys.readouterr().out
    assert "User Behavior Insights (UBI)" in text and "client_id the user" in text
    assert "action login 1" in text
    wrong = ["--home", str(tmp_path / "h"), "events", "import", str(path), "--map", "colour=x"]
    assert run(wrong) == 1
    assert "FIELD one of" in capsys.readouterr().err


def test_items_that_were_not_shown_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(tmp_path / "h")
    numbers = QUERY | {"object_id_field": None, "query_response_hit_ids": [1, 2]}
    for name, row in (("q", numbers), ("e", CLICK)):  # two files: neither tells by itself
        path = lines(tmp_path / f"{name}.ndjson", row)
        assert run(["--home", home, "events", "import", str(path)]) == 0
    run(["--home", home, "requests", "from-events", "--out", str(tmp_path / "r.jsonl"), "--json"])
    assert "object_id_field" in json.loads(capsys.readouterr().out.splitlines()[-1])["warnings"][0]
