"""Pictures of items: which addresses the page shows, which files the service hands out, to whom."""

import os
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from support.shop import copy_home

from indexes.items.records import Item
from indexes.items.settings import ItemSettings
from indexes.workspace import Workspace
from service.access.keys import KeyFile
from service.app import create_app
from service.page.parts.thumbnails import MOST_BYTES, Thumbnails

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture(scope="module")
def home(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with pictures, and with files beside them that are nobody's business."""
    own_home = copy_home(shop_home, tmp_path_factory.mktemp("pictures") / "home")
    folder = own_home / "data" / "images"
    (folder / "big & small").mkdir(parents=True)
    (folder / "1.svg").write_bytes(SVG)
    (folder / "big & small" / "2.PNG").write_bytes(b"png")
    (folder / "3.html").write_bytes(b"<b>no picture</b>")
    (folder / "4.png").write_bytes(b"")
    os.truncate(folder / "4.png", MOST_BYTES + 1)
    (folder / "5.png").symlink_to(own_home / "secret.png")
    (own_home / "secret.png").write_bytes(b"secret")
    (own_home / "data" / "images-of-others").mkdir()
    (own_home / "data" / "images-of-others" / "6.png").write_bytes(b"others")
    return own_home


def thumbnail(home: Path, image: str, *hosts: str) -> str | None:
    settings = ItemSettings(image_hosts=list(hosts))
    thumbnails = Thumbnails.of(Workspace(home, {ItemSettings: settings}))
    return thumbnails.thumbnail_of(Item("1", "lamp", image=image))


@pytest.mark.parametrize("image", ["1.svg", "/1.svg", "./1.svg", "big & small/../1.svg"])
def test_a_path_in_the_folder_is_an_address_of_the_service(home: Path, image: str) -> None:
    assert thumbnail(home, image) == "/images/1.svg"


OUTSIDE = [
    *("../../secret.png", "/../../secret.png", "5.png", "../images-of-others/6.png"),
    *("3.html", "4.png", "7.png", "big & small", "", ".", "1.svg/x.svg", "x" * 5000 + ".png"),
    *("..\\secret.png", "1.svg\0.png", "1\n.svg", "data:image/png;base64,AA=="),
]


@pytest.mark.parametrize("image", OUTSIDE)
def test_nothing_else_is(home: Path, image: str) -> None:
    assert thumbnail(home, image) is None


def test_another_folder_may_be_named(home: Path) -> None:
    for folder in ("data/images-of-others", str(home / "data" / "images-of-others")):
        thumbnails = Thumbnails.of(
            Workspace(home, {ItemSettings: ItemSettings(image_folder=folder)})
        )
        assert thumbnails.thumbnail_of(Item("1", "lamp", image="6.png")) == "/images/6.png"
        assert thumbnails.thumbnail_of(Item("1", "lamp", image="1.svg")) is None


def test_an_address_is_shown_if_the_settings_name_its_host(home: Path) -> None:
    address = "https://CDN.shop.example/a/b.jpg?w=48"
    assert thumbnail(home, address, "cdn.shop.example") == address
    assert thumbnail(home, address[6:], "cdn.Shop.example") == address
    for image in (
        *("http://cdn.shop.example/a.jpg", "https://shop.example/a.jpg", "https://["),
        *("https://cdn.shop.example:8443/a.jpg", "https://me@cdn.shop.example/a.jpg"),
        *("https://cdn.shop.example.evil.example/a.jpg", "javascript://cdn.shop.example/a"),
    ):
        assert thumbnail(home, image, "cdn.shop.example") is None, image


def test_browsers_are_told_to_load_from_the_named_hosts_alone(home: Path) -> None:
    settings = ItemSettings(image_hosts=["Img.shop.example", "cdn.example:8443"])
    client = create_app(Workspace(home, {ItemSettings: settings})).test_client()
    policy = client.get("/").headers["Content-Security-Policy"].split("; ")
    assert "img-src 'self' data: blob: https://cdn.example:8443 https://img.shop.example" in policy
    assert not [rule for rule in policy if "https:" in rule and not rule.startswith("img-src")]


@pytest.fixture(scope="module")
def client(home: Path) -> FlaskClient:
    return create_app(Workspace(home)).test_client()


def test_the_service_hands_a_picture_out_as_a_picture_and_nothing_more(client: FlaskClient) -> None:
    answer = client.get("/images/1.svg")
    assert (answer.status_code, answer.data, answer.mimetype) == (200, SVG, "image/svg+xml")
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "sandbox"} <= set(policy) and "script" not in str(policy)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    other = client.get("/images/big%20%26%20small/2.PNG")
    assert (other.status_code, other.data, other.mimetype) == (200, b"png", "image/png")


def test_a_browser_asks_once(client: FlaskClient) -> None:
    answer = client.get("/images/1.svg")
    assert answer.headers["Cache-Control"] == "private, max-age=3600"
    again = client.get("/images/1.svg", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        *("../../secret.png", "..%2f..%2fsecret.png", "%2e%2e/%2e%2e/secret.png", "5.png"),
        *("%2e%2e%2fimages-of-others%2f6.png", "/../../secret.png", "..%5c..%5csecret.png"),
        *("3.html", "4.png", "7.png", "1.svg%00.png", "big%20&%20small"),
    ],
)
def test_no_path_leads_out_of_the_folder(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/images/{path}")
    assert answer.status_code == 404, answer.data
    assert answer.get_json()["error"]["code"]


def test_pictures_are_for_those_who_may_see_the_page(home: Path, tmp_path: Path) -> None:
    locked = copy_home(home, tmp_path / "locked")
    keys = {scope: KeyFile(locked).create(scope, (scope,))[0] for scope in ("rerank", "tune")}
    client = create_app(Workspace(locked)).test_client()
    assert client.get("/images/1.svg").status_code == 401
    own = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}
    assert client.get("/images/1.svg", headers={"X-Api-Key": keys["rerank"]}).status_code == 403
    assert client.post("/sign-in", data={"key": keys["tune"]}, headers=own).status_code == 303
    assert client.get("/images/1.svg").status_code == 200
