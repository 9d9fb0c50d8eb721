"""redis_erasing.py: nodes whose data was deleted -> nodes whose files hold it no more.

A deletion leaves what was there in the append-only file until that is rewritten, and in the dump
until that is saved anew, on primaries and replicas alike. A replica that is away has its files:
while it is, nothing is certified.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from reranker.errors import HistoryFailure
from reranker.histories.redis_nodes import Address, Nodes

_PAUSE: Final = 0.02
_SECONDS: Final = 600.0  # of one node's rewriting; histories of a large shop are some gigabytes


def erase_on_every_node(nodes: Nodes, replicas: int) -> None:
    """Let every node write its files anew; HistoryFailure names the one that cannot now.

    replicas: how many there have to be of each primary, at least.
    """
    primaries = nodes.primaries()
    others = {address: _replicas(nodes, address, replicas) for address in primaries}
    for address in primaries:
        _let_replicas_catch_up(nodes, address, len(others[address]))
    for address in dict.fromkeys((*primaries, *(one for each in others.values() for one in each))):
        _rewrite(nodes, address)


def _replicas(nodes: Nodes, primary: Address, least: int) -> list[Address]:
    """Every replica of a node; HistoryFailure where one is away."""
    told = _info(nodes, primary, "replication")
    rows = [value for name, value in told.items() if _is_replica(name)]
    fields = [value if isinstance(value, Mapping) else _fields(value) for value in rows]
    away = [row for row in fields if row.get("state") != "online"]
    named = [_address(row) for row in fields]
    away_too = [one for one in _in_cluster(nodes, primary) if one not in named]
    if away or away_too or len(named) < least:
        where = [*map(_address, away), *away_too]
        names = ", ".join(f"{host}:{port}" for host, port in where) or f"one of {least}"
        raise _not_certified(primary, f"its replica {names} is away")
    return named


def _is_replica(name: str) -> bool:
    return name.startswith("slave") and name[len("slave") :].isdigit()


def _in_cluster(nodes: Nodes, primary: Address) -> list[Address]:
    """Every replica that the cluster knows of, those that are away among them."""
    if int(_info(nodes, primary, "cluster").get("cluster_enabled", 0)) == 0:
        return []
    told = nodes.ask_node(primary, "CLUSTER", "NODES")
    text = told.decode() if isinstance(told, bytes) else str(told)
    lines = [line.split() for line in text.splitlines() if line.strip()]
    own = next(line[0] for line in lines if "myself" in line[2].split(","))
    replicas = [line for line in lines if line[3] == own and "noaddr" not in line[2]]
    # Whose primary failed has one no more: it is still somebody who has the files.
    failed = [line for line in lines if "fail" in line[2].split(",") and line not in replicas]
    return [_node_address(line[1], primary) for line in (*replicas, *failed)]


def _node_address(told: str, asked: Address) -> Address:
    host, _, port = told.partition("@")[0].rpartition(":")
    return host or asked[0], int(port)


def _let_replicas_catch_up(nodes: Nodes, primary: Address, count: int) -> None:
    if not count:
        return
    target = int(_info(nodes, primary, "replication")["master_repl_offset"])

    def caught_up() -> bool:
        told = _info(nodes, primary, "replication")
        rows = [value for name, value in told.items() if _is_replica(name)]
        fields = [value if isinstance(value, Mapping) else _fields(value) for value in rows]
        return len(fields) >= count and all(int(row["offset"]) >= target for row in fields)

    _wait(caught_up, primary, "its replicas do not catch up")


def _rewrite(nodes: Nodes, address: Address) -> None:
    """A new append-only file where there is one, and a new dump."""
    if int(_info(nodes, address, "persistence").get("aof_enabled", 0)):
        _once(nodes, address, "BGREWRITEAOF", "aof_last_bgrewrite_status")
    _once(nodes, address, "BGSAVE", "rdb_last_bgsave_status")


def _once(nodes: Nodes, address: Address, command: str, status: str) -> None:
    """Begin after what is under way, and wait for the end."""

    def idle() -> bool:
        told = _info(nodes, address, "persistence")
        flags = (
            *("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"),
            *("loading", "async_loading"),
        )
        return not any(int(told.get(flag, 0)) for flag in flags)

    _wait(idle, address, "it is busy with its files")
    nodes.ask_node(address, command)
    _wait(idle, address, f"{command} does not end")
    told = _info(nodes, address, "persistence")
    if str(told.get(status, "ok")) != "ok":
        raise _not_certified(address, f"{command} failed")


def _wait(state: Callable[[], bool], address: Address, problem: str) -> None:
    end = time.monotonic() + _SECONDS
    while not state():
        if time.monotonic() > end:
            raise _not_certified(address, problem)
        time.sleep(_PAUSE)


def _info(nodes: Nodes, address: Address, section: str) -> Mapping[str, Any]:
    try:
        told = nodes.ask_node(address, "INFO", section)
    except HistoryFailure as failure:
        raise _not_certified(address, failure.message) from failure
    if isinstance(told, Mapping):
        return told
    text = told.decode() if isinstance(told, bytes) else str(told)
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _fields(value: Any) -> dict[str, str]:
    return dict(part.split("=", 1) for part in str(value).split(",") if "=" in part)


def _address(row: Mapping[str, Any]) -> Address:
    return str(row.get("ip", "")), int(row.get("port", 0))


def _not_certified(address: Address, problem: str) -> HistoryFailure:
    return HistoryFailure(
        f"What was deleted may still be in the files of {address[0]}:{address[1]}: {problem}.",
        hint="Mend it and run `reranker forget` again: nothing is certified until then.",
    )
