"""doctor_histories.py: histories that are kept in a Redis -> findings on it and what it holds."""

import time
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from typing import Any, Final

from indexes.times import TimeSettings
from indexes.workspace import Workspace
from reranker.errors import HistoryFailure
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.redis_nodes import Address, Nodes, read_url
from reranker.histories.redis_reads import RedisReader
from reranker.pseudonyms.keys import PseudonymKeys
from service.commands.doctor_findings import Finding

_LEAST: Final = 7  # its functions came with it
_SHOPPERS: Final = 200  # a sample


def histories(workspace: Workspace) -> Finding:
    """Whether the store can be used, and keeps what it is given."""
    settings = workspace.section(HistorySettings)
    if not settings.url:
        return Finding("histories", "ok", "in the home (SQLite)")
    url = read_url(settings.url)
    with closing(Nodes(url, min(1.0, settings.wait_seconds))) as nodes:
        try:
            primaries = nodes.primaries()
            told = {address: _told(nodes, address) for address in primaries}
        except HistoryFailure as failure:
            do = "Searches go on unpersonalised, events are refused with 503 until it is back."
            return Finding("histories", "fail", failure.message, do)
    for address, info in told.items():
        if finding := _of_node(address, info, settings.wait_replicas):
            return finding
    if finding := _of_names(workspace, settings):
        return finding
    version = next(iter(told.values())).get("redis_version", "")
    many = f"{len(primaries)} primaries" if len(primaries) > 1 else "one server"
    return Finding("histories", "ok", f"{url.shown}, {many}, version {version}")


def _told(nodes: Nodes, address: Address) -> Mapping[str, Any]:
    told = nodes.ask_node(address, "INFO")
    if isinstance(told, Mapping):
        return told
    lines = (told.decode() if isinstance(told, bytes) else str(told)).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _of_node(address: Address, info: Mapping[str, Any], replicas: int) -> Finding | None:
    """What is wrong with one node."""
    where = f"{address[0]}:{address[1]}"
    version = str(info.get("redis_version", "0"))
    if int(version.partition(".")[0]) < _LEAST:
        message = f"{where} is Redis {version}; {_LEAST} or later, or Valkey, is needed"
        return Finding("histories", "fail", message, "Upgrade it, or take history.url away.")
    if int(info.get("connected_slaves", 0)) < replicas:
        message = f"{where} has fewer than {replicas} replicas (history.wait_replicas)"
        return Finding("histories", "fail", message, "Events are refused until they are there.")
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        message = f"{where} deletes histories when its memory is full"
        do = "Run `redis-cli config set maxmemory-policy noeviction`."
        return Finding("histories", "warn", message, do)
    if not int(info.get("aof_enabled", 0)):
        message = f"{where} writes no append-only file: what it was given goes with it"
        do = "Run `redis-cli config set appendonly yes`, and config rewrite."
        return Finding("histories", "warn", message, do)
    return None


def _of_names(workspace: Workspace, settings: HistorySettings) -> Finding | None:
    """What is wrong with the names in it, or was not ended."""
    keys = PseudonymKeys(workspace.home)
    reader = RedisReader(read_url(settings.url), settings, keys)
    entry = reader.names_entry(look=True)
    if entry is None:
        return None
    try:
        keys.of(entry.generation, entry.fingerprint)
    except HistoryFailure as failure:
        do = "Every machine of a fleet needs the same <home>/pseudonyms/keys: copy it there."
        return Finding("histories", "fail", failure.message, do)
    if entry.since is not None or entry.to_erase:
        what = "a rotation of keys" if entry.since is not None else "an erasure"
        do = "Run `reranker pseudonyms status`, which ends it."
        return Finding("histories", "warn", f"{what} was not ended", do)
    return None


def sampled_events(workspace: Workspace) -> list[HistoryEvent]:
    """Events of some shoppers."""
    settings = workspace.section(HistorySettings)
    reader = RedisReader(read_url(settings.url), settings, PseudonymKeys(workspace.home))
    return [event for _, events in islice(reader.stream(), _SHOPPERS) for event in events]


def future(workspace: Workspace) -> Finding:
    """As doctor_home.future, of a sample."""
    latest = time.time() + 60 * workspace.section(TimeSettings).future_minutes
    times = [event.time for event in sampled_events(workspace)]
    late = sum(moment > latest for moment in times)
    if late:
        do = "Look at the clocks here and at the sender; such events count as the newest."
        message = f"{late:,} of a sample of {len(times):,} events are from the future"
        return Finding("events", "warn", message, do)
    return Finding("events", "ok", f"none of a sample of {len(times):,} is from the future")
