"""POST /events and the store of blends against simple models, in any order of steps."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.shop import small_app

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, Blend
from reranker.blends.files import parse, written
from reranker.blends.store import BlendStore
from reranker.errors import Conflict, UnknownBlend
from reranker.histories.store import open_histories

FEW: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
    "phases": (Phase.explicit, Phase.generate),
}
USERS = ("ann", "bob", "cy")
TIMES = st.integers(1_700_000_000, 1_700_000_050)


class Events(RuleBasedStateMachine):
    """The model: a list for each user, sorted by time, equal times as they came.

    Of one user, the same id with the same content counts once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.home = Workspace(Path(self.folder.name))
        self.kept: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.ids: dict[tuple[str, str], set[tuple[int, str]]] = defaultdict(set)
        self._open()

    def _open(self) -> None:
        self.histories = open_histories(self.home)
        self.client = small_app(self.histories)

    def teardown(self) -> None:
        self.histories.close()
        self.folder.cleanup()

    @rule(
        events=st.lists(
            st.tuples(
                st.sampled_from(USERS), TIMES, st.sampled_from("abcdef"),
                st.sampled_from((None, None, "i1", "i2", "i3")), st.booleans(),
            ),
            max_size=6,
        ),
        lines=st.booleans(),
    )  # fmt: skip
    def send(self, events: list[tuple[str, int, str, str | None, bool]], lines: bool) -> None:
        """Good and bad events in one body; a bad one costs no other."""
        sent: list[dict[str, Any]] = []
        wrong, twice, other = 0, 0, 0
        for user, time, item, event_id, good in events:
            sent.append({"user": user, "type": "view", "item": item, "time": time})
            if event_id:
                sent[-1]["id"] = event_id
            if not good:
                sent[-1]["price"] = -1
                wrong += 1
            elif event_id and (time, item) in self.ids[user, event_id]:
                twice += 1
            else:
                self.kept[user].append((time, item))
                if event_id:
                    other += bool(self.ids[user, event_id])
                    self.ids[user, event_id].add((time, item))
        answer = self.client.post("/events", json=sent)
        assert answer.status_code == 200
        said = answer.get_json()
        assert said["accepted"] == len(sent) - wrong
        assert (said["duplicates"], said["conflicts"]) == (twice, other)
        assert len(said["rejected"]) == wrong

    @rule(user=st.sampled_from(USERS))
    def forget(self, user: str) -> None:
        gone = self.histories.forget(user=user)
        assert gone.events == len(self.kept.pop(user, []))
        for pair in [pair for pair in self.ids if pair[0] == user]:
            del self.ids[pair]

    @rule()
    def restart(self) -> None:
        self.histories.close()
        self._open()

    @rule(body=st.sampled_from([b"", b"{", b"[1,", b"null", b"\xff", b"[[[[", b'{"a":1}\n{']))
    def nonsense(self, body: bytes) -> None:
        assert self.client.post("/events", data=body).status_code in (200, 400, 422)

    @invariant()
    def what_is_kept_is_what_was_accepted(self) -> None:
        for user in USERS:
            expected = sorted(self.kept[user], key=lambda pair: pair[0])
            found = self.histories.recent(user=user, n=1000)
            assert [(int(one.time), one.item) for one in found] == expected
            some = self.histories.recent(user=user, n=3)
            assert [(int(one.time), one.item) for one in some] == expected[-3:]


class Blends(RuleBasedStateMachine):
    """The model: a list of versions for each name, and the stack of what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "blends"
        self.store = BlendStore(self.root)
        self.store.published_or_default()
        self.versions = {"default": [1.0], "a": [], "b": []}
        self.stack = [("default", 1)]

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(
        name=st.sampled_from("ab"), weight=st.floats(0.1, 5.0),
        behind=st.sampled_from((None, 0, 1)), publish=st.booleans(),
    )  # fmt: skip
    def imported(self, name: str, weight: float, behind: int | None, publish: bool) -> None:
        """By a file that says from which version it was made: an old one is refused."""
        newest = len(self.versions[name])
        if behind is not None and newest - behind < 1:
            behind = None
        made_from = None if behind is None else newest - behind
        blend = parse(written(_blend(name, weight, made_from)), "file")
        if behind:
            with pytest.raises(Conflict):
                self.store.save(blend, publish=publish)
            return
        _, number = self.store.save(blend, publish=publish)
        assert number == newest + 1
        self.versions[name].append(weight)
        if publish:
            self.stack.append((name, number))

    @rule(name=st.sampled_from(("default", "a", "b", "nope")), number=st.integers(0, 4))
    def published(self, name: str, number: int) -> None:
        label = f"{name}@{number}" if number else name
        stored = len(self.versions.get(name, []))
        if not stored or number > stored:
            with pytest.raises(UnknownBlend):
                self.store.publish(label)
            return
        found = self.store.publish(label)
        chosen = (name, number or stored)
        assert (found.name, found.version) == chosen
        if self.stack[-1] != chosen:
            self.stack.append(chosen)

    @rule()
    def seen_before_somebody_else(self) -> None:
        """Two people look; who publishes second, on what is no longer there, is told so."""
        seen = next(one.id for one in self.store.listed() if one.published)
        other = next((one for one in self.store.listed() if not one.published), None)
        if other is None:
            return
        self.store.publish(other.label, expect=seen)
        self.stack.append((other.name, other.version))
        for act in (lambda: self.store.publish("default", expect=seen),):
            with pytest.raises(Conflict, match="meanwhile"):
                act()
        with pytest.raises(Conflict, match="meanwhile"):
            self.store.rollback(expect=seen)

    @rule()
    @precondition(lambda self: len(self.stack) > 1)
    def rolled_back(self) -> None:
        self.stack.pop()
        found = self.store.rollback()
        assert (found.name, found.version) == self.stack[-1]

    @rule()
    @precondition(lambda self: len(self.stack) == 1)
    def nothing_to_roll_back(self) -> None:
        with pytest.raises(Failure):
            self.store.rollback()

    @invariant()
    def another_process_sees_the_same(self) -> None:
        blend, number = BlendStore(self.root).published_or_default()
        assert (blend.name, number) == self.stack[-1]
        if blend.name != "default":
            weight = self.versions[blend.name][number - 1]
            assert blend.signals["semantic"].weight == pytest.approx(weight)


def _blend(name: str, weight: float, version: int | None) -> Blend:
    import msgspec

    semantic = msgspec.structs.replace(DEFAULT.signals["semantic"], weight=weight)
    signals = DEFAULT.signals | {"semantic": semantic}
    return msgspec.structs.replace(DEFAULT, name=name, signals=signals, version=version)


@pytest.mark.promise(19)
def test_events_are_as_the_model_says(record_property: Any) -> None:
    record_property("runs", 6)
    _run(Events, 6, 10)


@pytest.mark.promise(32)
def test_blends_are_as_the_model_says(record_property: Any) -> None:
    record_property("runs", 5)
    _run(Blends, 5, 8)


@pytest.mark.heavy
@pytest.mark.promise(19)
def test_events_are_as_the_model_says_in_many_orders(record_property: Any) -> None:
    record_property("runs", 1000)
    _run(Events, 1000, 40)


@pytest.mark.heavy
@pytest.mark.promise(32)
def test_blends_are_as_the_model_says_in_many_orders(record_property: Any) -> None:
    record_property("runs", 300)
    _run(Blends, 300, 30)


def _run(machine: Any, examples: int, steps: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    chosen: Any = settings(max_examples=examples, stateful_step_count=steps, database=None, **FEW)
    run_state_machine_as_test(machine, settings=chosen)
