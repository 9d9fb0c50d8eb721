"""POST /items: what changed in the catalogue is on the disk, served, and in the next index."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.service import publish_again
from support.shop import copy_home, patient, small_shop, write_items
from support.waiting import wait_until

from indexes.build.rebuild import Summary, rebuild
from indexes.items.changes import ItemChange, ItemChanges
from indexes.items.columns import RUNS
from indexes.items.index import ItemIndex, published_version
from indexes.items.records import Item
from indexes.items.settings import ItemSettings
from indexes.kernels.numpy_kernels import COUNTED, MEAN_SHARE
from indexes.kernels.numpy_kernels import WHOLE as ALL_WANTED
from indexes.progress import silent
from indexes.storage.arrays import filled
from indexes.workspace import Workspace
from service.app import create_app, served

ASKED = {
    "query": "lamp",
    "candidates": [{"id": "3"}, {"id": "25"}, {"id": "7"}],
    "explain": True,
}
WHOLE = {"id": "new-1", "title": "Folding bicycle", "price": 300, "category": "Sport > Bikes"}


@pytest.fixture
def home(shop_home: Path, tmp_path: Path) -> Path:
    return copy_home(shop_home, tmp_path / "home")


@pytest.fixture
def app(home: Path) -> Flask:
    return create_app(patient(home))


@pytest.fixture
def shop(app: Flask) -> FlaskClient:
    return app.test_client()


def send(client: FlaskClient, *items: Any) -> dict[str, Any]:
    answer = client.post("/items", json=list(items))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.get_json()
    assert set(body) == {"accepted", "duplicates", "conflicts", "rejected"}
    return body


def signals(client: FlaskClient, item: str) -> dict[str, Any]:
    """What the signals say of one candidate."""
    results = client.post("/rerank", json=ASKED).get_json()["results"]
    found: dict[str, Any] = next(
        result["explanation"]["signals"] for result in results if result["id"] == item
    )
    return found


def built(home: Path, items: list[dict[str, Any]]) -> Summary:
    return rebuild(Workspace(home), write_items(home / "new.jsonl", items), progress=silent)


def item_of(home: Path, item_id: str) -> Item | None:
    index = ItemIndex(published_version(Workspace(home)))
    row = int(index.rows([item_id])[0])
    return index.columns.item(row) if row >= 0 else None


def waiting(home: Path) -> int:
    return ItemChanges(home, 10).count()


def test_one_an_array_and_lines(shop: FlaskClient, home: Path) -> None:
    change = {"id": "3", "price": 5}
    assert shop.post("/items", json=change).get_json()["accepted"] == 1
    assert send(shop, change, {"id": "7", "available": False})["duplicates"] == 1
    lines = json.dumps(change) + "\n" + json.dumps({"id": "25", "brand": "Acme"}) + "\n"
    assert shop.post("/items", data=lines).get_json()["accepted"] == 2
    assert send(shop) == {"accepted": 0, "duplicates": 0, "conflicts": 0, "rejected": []}
    assert send(shop, change, {"id": "3", "price": 6})["conflicts"] == 1
    assert waiting(home) == 3


def test_what_changes_is_served_at_once_and_the_rest_stays(shop: FlaskClient, app: Flask) -> None:
    before = signals(shop, "3")
    assert before["available"]["raw"] == 1.0
    send(shop, {"id": "3", "available": False, "price": "12,50"})
    after = signals(shop, "3")
    assert after["available"]["raw"] == 0.0
    assert after["semantic"] == before["semantic"]
    index = served(app).state.index
    row = int(index.rows(["3"])[0])
    assert index.columns.price[row] == 12.5 and index.columns.item(row).price == 12.5
    assert index.columns.item(row).title == small_shop()[3]["title"]
    send(shop, {"id": "3", "available": None})
    assert signals(shop, "3")["available"].get("known") is False


def test_a_removed_item_is_unknown_until_it_is_brought_back(shop: FlaskClient, app: Flask) -> None:
    send(shop, {"id": "25", "removed": True})
    answer = shop.post("/rerank", json=ASKED).get_json()
    assert {result["id"] for result in answer["results"]} == {"3", "25", "7"}  # it was sent
    assert signals(shop, "25")["match"]["known"] is False
    index = served(app).state.index
    own = index.vectors(index.ids.rows(["25"]))
    near = [item for item, _ in index.neighbours(own, 5)[0]]
    assert "25" not in near and len(near) == 5
    send(shop, {"id": "25", "price": 3})  # a price feed that runs on brings nothing back
    assert signals(shop, "25")["match"]["known"] is False
    send(shop, {"id": "25", "removed": False})
    assert "known" not in signals(shop, "25")["match"]


def test_one_bad_item_costs_itself(shop: FlaskClient, home: Path) -> None:
    body = send(
        shop,
        {"id": "3", "price": 5},
        {"id": "3", "price": "cheap"},
        7,
        {"price": 5},
        {"id": "nobody", "price": 5},
        {"id": "7", "removed": "yes"},
        {"id": "7"},
        {"id": "7", "title": " "},
        {"id": "25", "available": "in stock"},
    )
    assert body["accepted"] == 2
    rejected = [(part["position"], part["field"]) for part in body["rejected"]]
    assert rejected == [
        *((1, "price"), (2, ""), (3, "id"), (4, "title"), (5, "removed"), (6, ""), (7, "title")),
    ]
    assert waiting(home) == 2


def test_what_is_no_item_is_refused_whole(shop: FlaskClient) -> None:
    assert shop.post("/items", data=b"7").status_code == 400
    assert shop.post("/items", data=b"[{").status_code == 400


def test_changed_items(home: Path) -> None:
    """items.changed_items: what has no room is said, and nothing of it is kept."""
    app = create_app(Workspace(home, {ItemSettings: ItemSettings(changed_items=2)}))
    client = app.test_client()
    send(client, {"id": "1", "price": 1}, {"id": "2", "price": 1})
    answer = client.post("/items", json=[{"id": "1", "price": 9}, {"id": "3", "price": 1}])
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (507, "changes_full")
    assert "items.changed_items" in answer.get_json()["error"]["message"]
    assert send(client, {"id": "1", "price": 2})["accepted"] == 1
    built(home, small_shop())
    assert send(client, {"id": "3", "price": 1})["accepted"] == 1


def test_another_worker_and_a_restart_serve_it_too(app: Flask, home: Path) -> None:
    other = create_app(patient(home))
    send(app.test_client(), {"id": "3", "available": False})
    served(other).take_up()  # what its watch does twice a second
    assert signals(other.test_client(), "3")["available"]["raw"] == 0.0
    assert signals(create_app(patient(home)).test_client(), "3")["available"]["raw"] == 0.0


def test_a_new_item_is_known_by_its_text_until_the_next_rebuild(
    shop: FlaskClient, app: Flask
) -> None:
    asked = ASKED | {"query": "bicycle", "candidates": [{"id": "3"}, {"id": "new-1"}]}

    def semantic(request: dict[str, Any]) -> dict[str, Any]:
        results = shop.post("/rerank", json=request).get_json()["results"]
        [found] = [one for one in results if one["id"] == "new-1"]
        signal: dict[str, Any] = found["explanation"]["signals"]["semantic"]
        return signal

    send(shop, WHOLE)
    assert semantic(asked)["known"] is False
    served(app).encode_changed()  # what its watch does twice a second
    by_index = semantic(asked)
    assert "known" not in by_index and by_index["raw"] > 0.3
    send(shop, {"id": "new-1", "title": "Red wool scarf"})
    served(app).encode_changed()
    assert semantic(asked)["raw"] < by_index["raw"]
    send(shop, {"id": "new-1", "removed": True})
    assert semantic(asked)["known"] is False


SCARF = {"title": "Red wool scarf", "brand": "Loom", "category": "Clothes > Scarves"}


def test_a_changed_text_is_served_with_its_words_and_then_its_vector(
    shop: FlaskClient, app: Flask, home: Path
) -> None:
    other = create_app(patient(home))
    asked = ASKED | {"query": "loom wool scarf"}

    def of_three(client: FlaskClient) -> dict[str, Any]:
        results = client.post("/rerank", json=asked).get_json()["results"]
        found: dict[str, Any] = next(
            result["explanation"]["signals"] for result in results if result["id"] == "3"
        )
        return found

    before = of_three(shop)
    send(shop, SCARF | {"id": "3"})
    worded = of_three(shop)
    assert worded["match"]["parts"] == {"words": pytest.approx(2 / 3), "brand": 1.0, "exact": 0.0}
    assert worded["coverage"]["raw"] == 1.0
    assert worded["semantic"]["raw"] == before["semantic"]["raw"]  # what is known of it so far
    served(app).encode_changed()
    meant = of_three(shop)["semantic"]["raw"]
    assert meant > before["semantic"]["raw"] + 0.2
    served(other).take_up()
    assert not served(other).state.index.live.waiting  # it is encoded once for all workers
    assert of_three(other.test_client())["semantic"]["raw"] == meant
    send(shop, {"id": "3"} | {name: small_shop()[3][name] for name in ("title", "category")})
    send(shop, {"id": "3", "brand": small_shop()[3].get("brand", "")})
    assert of_three(shop) == before


def test_a_text_that_was_acknowledged_is_encoded_after_a_kill(
    shop: FlaskClient, home: Path
) -> None:
    send(shop, SCARF | {"id": "3"}, WHOLE)
    again = served(create_app(patient(home)))  # whoever acknowledged it is gone
    assert again.state.index.live.waiting == 2
    again.encode_changed()
    assert again.state.index.live.waiting == 0
    summary = built(home, small_shop())
    assert summary.encoded == 0  # the new item and the changed one
    changed = item_of(home, "3")
    assert changed is not None and (changed.title, changed.brand) == ("Red wool scarf", "Loom")
    assert ItemChanges(home, 10).since(0, again.state.index.vectors_key).vectors == {}


def test_a_text_that_cannot_be_encoded_costs_itself(
    shop: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = served(app).state
    encoder: Any = state.query_vectors._encoder
    encode = encoder._encoder.encode_documents

    def broken(texts: list[str]) -> Any:
        if any("Scarf" in text for text in texts):
            raise ValueError("half a character")
        return encode(texts)

    monkeypatch.setattr(encoder._encoder, "encode_documents", broken)
    scarf, *others = (
        {"id": str(number), "title": title}
        for number, title in enumerate(("Scarf", "Red lamp", "Blue boots"), start=3)
    )
    send(shop, scarf, *others)
    served(app).encode_changed()
    assert state.index.live.waiting == 1
    monkeypatch.undo()
    served(app).encode_changed()
    assert state.index.live.waiting == 0


def test_changes_that_cannot_be_read_at_a_reload_are_served_afterwards(
    shop: FlaskClient, app: Flask, home: Path
) -> None:
    send(shop, {"id": "3", "price": 1.0})
    built(home, small_shop())
    assert served(app).refresh()
    send(shop, {"id": "4", "removed": True})
    items = ItemChanges(home, 10).path.parent
    aside = items.rename(items.with_name("aside"))
    (items / "changes.sqlite").mkdir(parents=True)  # as with too many open files: for a moment
    publish_again(home)
    assert served(app).refresh()
    (items / "changes.sqlite").rmdir()
    items.rmdir()
    aside.rename(items)
    served(app).take_up()
    assert served(app).state.index.rows(["4"]).tolist() == [-1]


def test_filters_follow_a_change(shop: FlaskClient) -> None:
    def named(**filters: Any) -> set[str]:
        answer = shop.post("/recommend", json={"filters": filters, "top_n": 60}).get_json()
        return {result["id"] for result in answer["results"]}

    category = small_shop()[3]["category"]
    assert "3" in named(available=True) and "3" in named(category=category)
    send(shop, {"id": "3", "available": False, "category": "Clothes > Scarves"})
    wait_until(lambda: "3" not in named(available=True) | named(category=category))
    assert named(category="Clothes > Scarves") == {"3"}


def test_changed_words_are_those_of_a_rebuild(home: Path) -> None:
    """Whatever changes, and how often: each column as if the catalogue had said so."""
    index = ItemIndex(published_version(Workspace(home)))
    rng = np.random.default_rng(7)
    items = [dict(item) for item in small_shop()]
    names = ("red", "Oslo", "lamp", "KX-4071", "wool", "scarf", "Kåre's", "12 cm", "boots")
    for _ in range(400):
        at = int(rng.integers(len(items)))
        fields = {
            "title": " ".join(rng.choice(names, 3)),
            "brand": str(rng.choice(["", "Acme", "Loom & Sons"])),
            "category": str(rng.choice(["A > B", "A > C", "Shoes"])),
            "description": " ".join(rng.choice(names, 4)),
            "attributes": {"mpn": str(rng.choice(["AB-7712", "ZX 99 100"]))},
        }
        some = {name: fields[name] for name in fields if rng.random() < 0.5}
        items[at] |= some
        index.change({items[at]["id"]: some})
    built(home, items)
    again = ItemIndex(published_version(Workspace(home)))
    ids = [item["id"] for item in items]
    rows, there = index.rows(ids), again.rows(ids)
    for name in RUNS:
        one, other = getattr(index.columns, name), getattr(again.columns, name)
        for live, anew in zip(one.gather(rows), other.gather(there), strict=True):
            assert live.tolist() == anew.tolist()
        wanted = np.unique(other.gather(there)[0])[::3].copy()
        worth = np.linspace(0.1, 1.0, len(wanted))
        of = [(COUNTED, wanted), (ALL_WANTED, wanted), (MEAN_SHARE, wanted, worth)]
        live, anew = (
            filled(where, [(kind, column, *more) for kind, *more in of])
            for where, column in ((rows, one), (there, other))
        )
        np.testing.assert_array_equal(live, anew)
    for name in ("title_keys", "brand_keys"):
        one, other = getattr(index.columns, name), getattr(again.columns, name)
        assert one[rows].tolist() == other[there].tolist()


def test_the_next_rebuild_folds_in_and_clears(shop: FlaskClient, app: Flask, home: Path) -> None:
    send(shop, {"id": "3", "price": 5}, {"id": "25", "removed": True}, WHOLE)
    summary = built(home, small_shop())  # the same catalogue as before
    assert any("3 items are folded in" in note for note in summary.notes)
    assert summary.encoded == 1  # the new one
    changed, new = item_of(home, "3"), item_of(home, "new-1")
    assert changed is not None and changed.price == 5
    assert item_of(home, "25") is None
    assert new is not None and (new.title, new.category) == (WHOLE["title"], WHOLE["category"])
    assert waiting(home) == 0
    assert served(app).refresh()
    assert "known" not in signals(shop, "3")["match"]
    assert signals(shop, "25")["match"]["known"] is False


def test_what_the_catalogue_contradicts_stays_as_the_catalogue_has_it(
    shop: FlaskClient, app: Flask, home: Path
) -> None:
    send(shop, {"id": "3", "price": 5, "brand": "Acme"}, {"id": "7", "price": 5})
    send(shop, {"id": "8", "price": 5, "removed": True})
    catalogue = small_shop()
    catalogue[3]["price"] = 77.0  # other than it was when the change was made
    catalogue[8]["updated"] = time.time() + 3600  # later than the change
    built(home, catalogue)
    three, seven, eight = (item_of(home, item_id) for item_id in ("3", "7", "8"))
    assert three is not None and (three.price, three.brand) == (77.0, "Acme")
    assert seven is not None and seven.price == 5
    assert eight is not None and eight.price == catalogue[8]["price"]
    assert served(app).refresh()
    index = served(app).state.index
    assert index.columns.price[index.rows(["3"])[0]] == 77.0  # nothing of before lies over it


def test_a_change_during_a_rebuild_is_not_cleared_with_it(home: Path) -> None:
    changes = ItemChanges(home, 10)
    changes.apply([ItemChange("3", {"price": 5.0})])
    read = changes.since(0)
    changes.apply([ItemChange("3", {"price": 6.0}), ItemChange("7", {"price": 1.0})])
    changes.clear(read.number)
    assert changes.since(0).fields == {"3": {"price": 6.0}, "7": {"price": 1.0}}
    assert changes.count() == 2
