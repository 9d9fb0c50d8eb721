"""backup.py: a home that may be served and written to -> a folder that holds it as it was.

Versions never change, so they are copied as they are and hashed again; the histories are those of
one moment; keys come last, because they are only ever added to and what was copied needs them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from indexes.errors import Failure
from indexes.items.changes import ItemChanges
from indexes.progress import Advance, Progress, bars
from indexes.release import VERSION
from indexes.storage import durable
from indexes.storage.manifests import FileSum, file_sum
from indexes.storage.versions import Damaged, Version, VersionStore, failing
from reranker.backups.contents import (
    CHANGES,
    FORM,
    HISTORIES,
    LOGS,
    NESTED,
    NOTE,
    STORES,
    Backup,
    other_files,
    sealed,
    secret_files,
)
from reranker.backups.copies import copy_file, copy_histories, copy_version

_TRIES: Final = 5  # what is served was deleted while it was copied: it was published anew twice
_PART: Final = ".part"


def back_up(home: Path, target: Path, *, keys: bool = True, progress: Progress = bars) -> Backup:
    """Copy the home to this new folder, and check the copy. keys: with its secrets.

    Failure where nothing can be copied, a served version is damaged, or the disk does not take it:
    then there is no such folder.
    """
    _check_places(home, target)
    with failing("There is no backup.", target), _made(target) as part:
        with progress("copying", None) as done:
            links, left_out = _copy_versions(home, part, done)
            events = copy_histories(home / HISTORIES, part / HISTORIES)
            ItemChanges(home, 1).copy(part / CHANGES)
            for name in other_files(home):
                done(copy_file(home, name, part, log=name.parts[0] in LOGS))
                if (home / name).is_symlink():
                    left_out.append(f"{name}: a link")
            for name in secret_files(home) if keys else ():
                done(copy_file(home, name, part))
        left_out += [f"{name}: a home of its own" for name in NESTED if (home / name).is_dir()]
        backup = Backup(
            form=FORM,
            release=VERSION,
            created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            files=dict(_sums(part, progress)),
            links=links,
            events=events,
            keys=keys,
            left_out=left_out,
        )
        durable.write_synced(part / NOTE, sealed(backup), durable.OWN_FILE)
    return backup


def _check_places(home: Path, target: Path) -> None:
    if not any((home / name).exists() for name in (*STORES, HISTORIES)):
        raise Failure(
            f"{home} holds neither an index nor a model, blends or events.",
            hint="Name the home with --home or RERANKER_HOME.",
        )
    whole, inside = home.resolve(), target.resolve()
    if inside == whole or whole in inside.parents:
        raise Failure(
            f"{target} is in the home {home}: it would be lost with it, and `forget` would find "
            "shoppers in it.",
            hint="Name a folder elsewhere, best on another disk.",
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Failure(f"{target} is there already.", hint="A backup is a new folder: name another.")


@contextmanager
def _made(target: Path) -> Iterator[Path]:
    """A folder beside the target, which takes its place when the block ends well."""
    part = target.with_name(f"{target.name}{_PART}")
    durable.make_folder(target.absolute().parent)
    try:
        part.mkdir(durable.OWN_FOLDER)
    except FileExistsError:
        raise Failure(
            f"{part} is there: another backup is at work, or one was killed.",
            hint="Delete it if none is at work, or name another folder.",
        ) from None
    try:
        yield part
        durable.crash_point("backup_written")
        for folder in durable.folders_of(part):
            durable.sync(folder)
        part.rename(target)
        durable.sync(target.absolute().parent)
    except BaseException:
        durable.remove_tree(part)
        raise


def _copy_versions(home: Path, part: Path, done: Advance) -> tuple[dict[str, str], list[str]]:
    """All versions; what is served (links, by their paths), read at one moment, and what is not
    copied because it is damaged."""
    stores = {name: VersionStore(home / name) for name in STORES}
    for _ in range(_TRIES):
        served = {name: found for name, store in stores.items() if (found := store.current())}
        problems: dict[str, str] = {}
        for name, store in stores.items():
            for version in store.versions():
                if not _copy(part, name, version).exists():
                    problem = copy_version(version, part / name)
                    done(not problem)
                    if problem and problem != "gone":
                        problems[f"{name}/versions/{version.id}"] = problem
        _refuse_damaged(served, problems)
        if all(_copy(part, name, version).exists() for name, version in served.items()):
            break
    else:
        raise Failure(
            "New versions are published faster than they can be copied.", hint="Try again later."
        )
    links = {f"{name}/current": f"versions/{version.id}" for name, version in served.items()}
    for link, leads_to in links.items():
        os.symlink(leads_to, part / link)
    return links, [f"{name}: {problem}" for name, problem in problems.items()]


def _copy(part: Path, store: str, version: Version) -> Path:
    return part / store / "versions" / version.id


def _refuse_damaged(served: dict[str, Version], problems: dict[str, str]) -> None:
    for name, version in served.items():
        if problem := problems.get(f"{name}/versions/{version.id}"):
            raise Damaged(
                f"{version.folder} is served and damaged: {problem}.",
                hint=f"Run `reranker {name} rollback`, or restore an earlier backup.",
            )


def _sums(part: Path, progress: Progress) -> Iterator[tuple[str, FileSum]]:
    """Every file of the copy, read again."""
    files = sorted(path for path in part.rglob("*") if path.is_file() and not path.is_symlink())
    with progress("checking", len(files)) as done:
        for path in files:
            yield path.relative_to(part).as_posix(), file_sum(path)
            done(1)
