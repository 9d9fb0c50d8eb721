"""`reranker events move`: a home's file -> a Redis that holds the same, also when it is killed."""

import json
from collections.abc import Callable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from support.redis_servers import Server

from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.store import open_histories
from reranker.ingestion import moving
from service.commands.cli import run


def view(at: float, item: str = "1", **more: Any) -> HistoryEvent:
    return HistoryEvent(type="view", item=item, time=at, **more)


@pytest.fixture
def url(redis_server: Server) -> str:
    return f"{redis_server.url}?prefix={uuid4().hex}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with some histories: users, their sessions, anonymous ones."""
    with closing(open_histories(Workspace(tmp_path / "home"))) as histories:
        for user in range(700):
            name = f"u{user}"
            histories.append(
                [
                    view(10.0 + user, "a", session=f"s{user}"),
                    view(11.0, "b", user=name, session=f"s{user}", id=f"{user}"),
                    view(11.0, "c", user=name),
                    view(12.0, "d", session=f"anonymous {user}"),
                ]
            )
    return tmp_path / "home"


def in_redis(home: Path, url: str) -> Workspace:
    return Workspace(home, {HistorySettings: HistorySettings(url=url)})


def streamed(workspace: Workspace) -> dict[Any, Any]:
    with closing(open_histories(workspace)) as histories:
        return dict(histories.stream())


def moved(home: Path, url: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    status = run(["--home", str(home), "events", "move", "--to", url, "--json"])
    return status, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_home_moves_and_what_came_meanwhile_follows(
    home: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, answer = moved(home, url, capsys)
    assert (status, answer["different"], answer["added"]) == (0, 0, 2800)
    assert (answer["shoppers"], answer["sessions"]) == (1400, 700)
    assert streamed(in_redis(home, url)) == streamed(Workspace(home))
    with closing(open_histories(Workspace(home))) as histories:
        histories.append([view(20.0, user="u3"), view(20.0, user="new"), view(21.0, session="s3")])
        histories.append([view(22.0, user="new", session="anonymous 5")])
    status, answer = moved(home, url, capsys)
    # The session of who logged in meanwhile moved there, too: its event is there already.
    assert (status, answer["different"], answer["added"], answer["events"]) == (0, 0, 4, 4)
    assert streamed(in_redis(home, url)) == streamed(Workspace(home))
    with closing(open_histories(in_redis(home, url))) as histories:
        again = histories.append([view(11.0, "b", user="u9", session="s9", id="9")])
        assert (again.stored, again.duplicates) == (0, 1)
        assert [event.item for event in histories.recent("u9")] == ["b", "c", "a"]


def test_a_killed_move_goes_on_where_it_was(
    home: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def killed(stage: str, _total: int | None) -> Any:
        counts = iter((0, 1))

        def advance(_count: int) -> None:
            if stage == "events" and next(counts):
                raise KeyboardInterrupt

        yield advance

    with pytest.raises(KeyboardInterrupt):
        moving.move(Workspace(home), url, killed)
    status, answer = moved(home, url, capsys)
    assert (status, answer["different"]) == (0, 0)
    assert answer["added"] == answer["events"] < 2800
    assert streamed(in_redis(home, url)) == streamed(Workspace(home))


def test_what_differs_is_counted(
    home: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_histories(in_redis(home, url))) as histories:
        histories.append([view(99.0, "of the Redis alone", user="u7")])
    status, answer = moved(home, url, capsys)
    assert (status, answer["different"]) == (1, 1)


def test_an_empty_home_has_nothing_to_move(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(tmp_path), "events", "move", "--to", url]) == 1
    assert "no history is kept" in capsys.readouterr().err


def test_every_reader_of_histories_works_on_a_redis(
    home: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands, with the setting in the environment."""
    moved(home, url, capsys)
    monkeypatch.setenv("RERANKER_HISTORY_URL", url)
    said: Callable[..., int] = lambda *args: run(["--home", str(home), *args])  # noqa: E731
    assert said("export", "u5") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert said("events", "expire") == 0
    assert said("pseudonyms", "status") == 0
    assert "700 users" in capsys.readouterr().out
    for path in (home / "events").iterdir():
        path.unlink()
    assert said("forget", "u5", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["verified"]
    assert said("export", "u5") == 1
