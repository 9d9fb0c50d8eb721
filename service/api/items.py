"""items.py: POST /items -> changes of items, on the disk, and what is wrong with the others.

The answer is sent when the changes are on the disk; every worker serves them within two seconds.
"""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from flask import Blueprint, Response

from indexes.build.settings import RebuildSettings
from indexes.items.changes import ChangesFailure, ChangesFull, ItemChange
from indexes.items.partial import change_reader, read_change, without_title
from indexes.items.records import FIELDS, BadValue
from indexes.times import TimeSettings
from indexes.workspace import Workspace
from reranker.events.settings import EventSettings
from service.api.events import BadPart, Rejected, decoded_part, split_events
from service.http.answers import error_answer, json_answer
from service.http.received import read_body
from service.http.settings import LimitSettings
from service.live.reload import Served
from service.observability.prometheus import Metrics

log = logging.getLogger("reranker")


class ItemsAnswer(msgspec.Struct, frozen=True):
    """What `POST /items` answers.

    accepted: items whose changes are kept now, on the disk, together with `duplicates`: those of
    them that said nothing new. conflicts: those of them whose id came before in the same request;
    the later one counts. accepted and rejected add up to what was sent.
    """

    accepted: int
    duplicates: int
    conflicts: int
    rejected: list[Rejected]


def items_routes(workspace: Workspace, served: Served, metrics: Metrics) -> Blueprint:
    """The route that a shop sends what changed in its catalogue to."""
    routes = Blueprint("items", __name__)
    limits = workspace.section(LimitSettings)
    most = workspace.section(EventSettings).request_events
    columns, times = workspace.section(RebuildSettings).columns, workspace.section(TimeSettings)

    @routes.post("/items")
    def items_route() -> Response:
        parts = split_events(read_body(limits.body_bytes), most, "item")
        changes, rejected = read_changes(parts, columns, times)
        changes, rejected = _that_can_be_items(changes, rejected, served)
        try:
            kept = served.changes.apply(change for _, change in changes)
        except ChangesFull as full:
            return error_answer(507, f"{full} {full.hint}", full.code)
        except ChangesFailure as failure:
            log.error("changes of items cannot be kept: %s", failure)
            message = "The changes cannot be kept now and none was; send them again."
            answer = error_answer(503, f"{message} The log has the reason.", failure.code)
            answer.headers["Retry-After"] = "1"
            return answer
        served.take_up()
        metrics.count_items(kept.accepted, kept.duplicates, len(rejected))
        conflicts = len(changes) - len({change.id for _, change in changes})
        return json_answer(ItemsAnswer(kept.accepted, kept.duplicates, conflicts, rejected))

    return routes


Placed = list[tuple[int, ItemChange]]


def read_changes(
    parts: Sequence[bytes | msgspec.Raw], columns: Sequence[str], times: TimeSettings
) -> tuple[Placed, list[Rejected]]:
    """The changes with their positions, and why the others are none."""
    reader = change_reader(columns, times)
    changes: Placed = []
    rejected: list[Rejected] = []
    for position, part in enumerate(parts):
        try:
            row: dict[str, Any] = decoded_part(part, "item")
            changes.append((position, read_change(reader, position, row)))
        except BadValue as reason:
            message = str(reason)
            rejected.append(Rejected(position, _field(message), f"{message}."))
        except BadPart as bad:
            rejected.append(Rejected(position, "", f"{bad.message}."))
    return changes, rejected


def _that_can_be_items(
    changes: Placed, rejected: list[Rejected], served: Served
) -> tuple[Placed, list[Rejected]]:
    """Without those that name no item there is and no title of a new one."""
    lacking = without_title([change for _, change in changes], served.known_items)
    if not lacking:
        return changes, rejected
    new = [
        Rejected(position, "title", f"title is missing, and there is no item {change.id!r} yet.")
        for position, change in changes
        if change.id in lacking
    ]
    kept = [pair for pair in changes if pair[1].id not in lacking]
    return kept, sorted([*rejected, *new], key=lambda one: one.position)


def _field(message: str) -> str:
    """The field that a reason begins with."""
    name = message.split(" ", 1)[0].rstrip(":")
    return name if name in FIELDS or name == "removed" else ""
