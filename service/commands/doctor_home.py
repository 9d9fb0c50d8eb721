"""doctor_home.py: a home -> findings on its files, versions, events and running service."""

import http.client
import json
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from indexes.items.index import ItemIndex
from indexes.storage.versions import VersionStore
from indexes.times import TimeSettings
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT
from reranker.blends.store import BlendStore
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.decoded import decoded, packed_rows
from reranker.histories.files import FILE
from reranker.ingestion.known_items import mismatch, not_in_index, published_ids
from reranker.model.versions import check_fits, check_whole, model_store
from service.commands import doctor_histories
from service.commands.doctor_findings import Finding
from service.http.settings import ServeSettings

_SECRETS: Final = ("keys", "pseudonyms")
_OTHERS: Final = 0o077
_SECONDS: Final = 3.0
# Events of some shoppers; the last ones to come are the likeliest to be of today's shop.
_SAMPLE: Final = (
    "SELECT payload FROM events WHERE shopper IN "
    "(SELECT id FROM shoppers WHERE events > 0 ORDER BY id DESC LIMIT 200) LIMIT 2000"
)


def blend(workspace: Workspace) -> Finding:
    """Whether the published blend can be read and computed here."""
    if VersionStore(workspace.blends_root).current() is None:
        return Finding("blend", "ok", f"{DEFAULT.name}, built in; none is published yet")
    published, number = BlendStore(workspace.blends_root).published_or_default()
    if published.trees and find_spec("lightgbm") is None:
        do = "pip install 'shop-reranker[tune]', or `reranker blends rollback`."
        return Finding("blend", "fail", f"{published.name} v{number} needs LightGBM", do)
    return Finding("blend", "ok", f"{published.name} v{number}, {published.kind}")


def model(workspace: Workspace) -> Finding:
    """Whether the model fits the index."""
    version = model_store(workspace).current()
    if version is None:
        do = "Personal signals are left out; `reranker train` learns from imported events."
        return Finding("model", "ok", "none is published", do)
    model_store(workspace).ensure_verified(version)
    index = VersionStore(workspace.index_root).current()
    if index is None:
        return Finding("model", "warn", f"{version.id}, and no index", "Run `reranker rebuild`.")
    check_fits(version, ItemIndex(index))
    check_whole(version)
    if version.about.get("reason"):
        do = f"behaviour is left out: {version.about['reason']}. Then run `reranker train`."
        return Finding("model", "warn", f"{version.id} has no encoder", do)
    return Finding("model", "ok", f"{version.id} fits the index")


def secrets(workspace: Workspace) -> Finding:
    """Whether others on this machine can read keys."""
    loose = [path for path in _secret_files(workspace.home) if path.stat().st_mode & _OTHERS]
    if loose:
        names = ", ".join(str(path.relative_to(workspace.home)) for path in loose[:3])
        do = f"Run `chmod go= {' '.join(str(path) for path in loose[:3])}`."
        return Finding("secrets", "fail", f"others on this machine can read {names}", do)
    count = sum(1 for _ in _secret_files(workspace.home))
    return Finding("secrets", "ok", f"{count} files that only their owner reads")


def _secret_files(home: Path) -> Iterator[Path]:
    places = [path for name in _SECRETS for path in (home / name).rglob("*")]
    for path in (*places, home / "rankings" / "key"):
        if path.name == "lock":  # says who is at work, and no secret
            continue
        if path.exists() and stat.S_ISREG(path.stat().st_mode):
            yield path


def _event_store(workspace: Workspace) -> Path | None:
    return next(iter(sorted(workspace.home.glob(f"*/{FILE}"))), None)


def future(workspace: Workspace) -> Finding:
    """Events that happened after now: the clock was wrong, here or at the sender."""
    if workspace.section(HistorySettings).url:
        return doctor_histories.future(workspace)
    store = _event_store(workspace)
    if store is None:
        return Finding("events", "ok", "none are kept yet")
    latest = time.time() + 60 * workspace.section(TimeSettings).future_minutes
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=1)) as db:
        total, late = db.execute("SELECT count(*), sum(time > ?) FROM events", [latest]).fetchone()
    if late:
        do = "Look at the clocks here and at the sender; such events count as the newest."
        return Finding("events", "warn", f"{late:,} of {total:,} events are from the future", do)
    return Finding("events", "ok", f"{total:,} kept, none from the future")


def items(workspace: Workspace) -> Finding:
    """Whether the kept events speak of the items of the published index; a sample of them tells."""
    sample = _sampled(workspace)
    ids = published_ids(workspace)
    if sample is None or ids is None:
        return Finding("items", "ok", "no events to be compared with an index yet")
    met = {event.item for event in sample if event.item is not None}
    warning = mismatch(ids, met, not_in_index(ids, sorted(met)))
    if warning:
        do = "Import events of this shop's items, or rebuild the index from its catalogue."
        return Finding("items", "warn", f"in a sample of events, {warning}", do)
    return Finding("items", "ok", f"{len(met):,} items in a sample of events, most in the index")


def _sampled(workspace: Workspace) -> list[HistoryEvent] | None:
    """Some of the kept events; None where none are kept."""
    if workspace.section(HistorySettings).url:
        return doctor_histories.sampled_events(workspace) or None
    store = _event_store(workspace)
    if store is None:
        return None
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=1)) as db:
        return decoded(packed_rows(db.execute(_SAMPLE).fetchall()), store)


def service(workspace: Workspace) -> Finding:
    """Whether the service runs, and answers with what is published."""
    settings = workspace.section(ServeSettings)
    where = f"{settings.host}:{settings.port}"
    try:
        status, answer = _ask(settings.host, settings.port, "/readyz")
    except OSError:
        return Finding("service", "ok", f"none answers on {where}", "`reranker serve` starts it.")
    except (http.client.HTTPException, ValueError):
        do = "Another program has that port; choose one with serve.port."
        return Finding("service", "warn", f"what answers on {where} is not this service", do)
    if status != 200 or "versions" not in answer:
        return Finding("service", "fail", f"{where} is not ready (status {status})", "See its log.")
    served = {**answer["versions"], "blend": answer["blend"]}
    differs = [name for name, id_ in _published(workspace).items() if served.get(name) != id_]
    if differs:
        do = "It takes new versions up within seconds; if not, its log says why it refuses them."
        message = f"{where} serves another {' and '.join(differs)} than is published here"
        return Finding("service", "warn", message, do)
    return Finding("service", "ok", f"{where} is ready with what is published")


def _ask(host: str, port: int, path: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read(1 << 20))
        return answer.status, body if isinstance(body, dict) else {}


def _published(workspace: Workspace) -> dict[str, Any]:
    index = VersionStore(workspace.index_root).current()
    blends = BlendStore(workspace.blends_root).listed()
    published = next((blend for blend in blends if blend.published), None)
    return {
        "index": index.id if index else None,
        "blend": {"name": published.name, "version": published.version} if published else None,
    }
