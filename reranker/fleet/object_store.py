"""object_store.py: a URL -> objects by name: a folder, or whatever fsspec reaches (S3, GCS, Azure).

Objects are written whole and never changed, but for the one pointer, which every store replaces in
one step.
"""

import shutil
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from indexes.errors import Failure
from indexes.storage import durable

_FILE: Final = "file"
_PIECE: Final = 1 << 20


class StoreFailure(Failure):
    """The store cannot be reached, or an object in it is not what it has to be."""

    code = "store_unavailable"


class ObjectStore(Protocol):
    """Objects of one store. Every call may raise StoreFailure."""

    url: str

    def read(self, name: str) -> bytes | None:
        """A small object; None where there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """A small object, in one step."""
        ...

    def has(self, name: str, size: int) -> bool:
        """Whether an object of this size is there."""
        ...

    def put(self, name: str, source: Path) -> None:
        """A file as an object."""
        ...

    def fetch(self, name: str, target: Path) -> None:
        """An object as a new file."""
        ...

    def names(self, folder: str) -> list[str]:
        """The objects of a folder, sorted, without the folder."""
        ...


def open_store(url: str) -> ObjectStore:
    """The store at `file:///folder`, `s3://bucket/path` and whatever else fsspec knows."""
    parts = urlsplit(url)
    if parts.scheme == _FILE and parts.path:
        return FolderStore(url, Path(unquote(parts.path)))
    if not parts.scheme or not parts.netloc:
        raise Failure(
            f"{url!r} is no address of a store.",
            hint='Write "file:///folder", "s3://bucket/path", "gs://bucket/path" or '
            '"abfs://container/path".',
        )
    return FsspecStore(url)


class FolderStore:
    """A folder that the machines share."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self._folder = url, folder

    def read(self, name: str) -> bytes | None:
        """See ObjectStore."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            if not self._folder.is_dir():
                raise StoreFailure(f"{self.url} is not there.", hint="Is it mounted?") from None
            return None
        except OSError as error:
            raise _failed(self.url, name, error) from error

    def write(self, name: str, content: bytes) -> None:
        """See ObjectStore."""
        try:
            durable.make_folder((self._folder / name).parent)
            durable.replace_synced(self._folder / name, content)
        except OSError as error:
            raise _failed(self.url, name, error) from error

    def has(self, name: str, size: int) -> bool:
        """See ObjectStore."""
        try:
            return (self._folder / name).stat().st_size == size
        except OSError:
            return False

    def put(self, name: str, source: Path) -> None:
        """See ObjectStore."""
        target = self._folder / name
        try:
            durable.make_folder(target.parent)
            with durable.replaced(target, 0o644) as file, source.open("rb") as whole:
                shutil.copyfileobj(whole, file, _PIECE)
        except OSError as error:
            raise _failed(self.url, name, error) from error

    def fetch(self, name: str, target: Path) -> None:
        """See ObjectStore."""
        try:
            shutil.copyfile(self._folder / name, target)
        except OSError as error:
            raise _failed(self.url, name, error) from error

    def names(self, folder: str) -> list[str]:
        """See ObjectStore."""
        place = self._folder / folder
        return sorted(path.name for path in place.iterdir()) if place.is_dir() else []


class FsspecStore:
    """Any store that fsspec has an implementation of; credentials are where that looks for them."""

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ImportError:
            raise StoreFailure(
                f"{url} needs the package fsspec, which is not installed.",
                hint="pip install 'shop-reranker[remote]', and the store's own: s3fs, gcsfs, adlfs",
            ) from None
        self.url = url
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreFailure(
                f"{url} cannot be opened: {error}.", hint="Install what it names."
            ) from None
        self._root = str(root).rstrip("/")

    def _careful(self, name: str, work: Any, *given: Any) -> Any:
        try:
            return work(f"{self._root}/{name}", *given)
        except FileNotFoundError:
            raise
        except Exception as error:  # each store has exceptions of its own
            raise _failed(self.url, name, error) from error

    def read(self, name: str) -> bytes | None:
        """See ObjectStore."""
        try:
            self._files.invalidate_cache()
            return bytes(self._careful(name, self._files.cat_file))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """See ObjectStore."""
        self._careful(name, self._files.pipe_file, content)

    def has(self, name: str, size: int) -> bool:
        """See ObjectStore."""
        try:
            return bool(self._careful(name, self._files.size) == size)
        except FileNotFoundError:
            return False

    def put(self, name: str, source: Path) -> None:
        """See ObjectStore."""
        self._careful(name, lambda path: self._files.put_file(str(source), path))

    def fetch(self, name: str, target: Path) -> None:
        """See ObjectStore."""
        try:
            self._careful(name, lambda path: self._files.get_file(path, str(target)))
        except FileNotFoundError as error:
            raise _failed(self.url, name, error) from None

    def names(self, folder: str) -> list[str]:
        """See ObjectStore."""
        try:
            self._files.invalidate_cache()
            found = self._careful(folder, lambda path: self._files.ls(path, detail=False))
        except FileNotFoundError:
            return []
        return sorted(str(path).rpartition("/")[2] for path in found)


def _failed(url: str, name: str, error: Exception) -> StoreFailure:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StoreFailure(
        f"{url}: {name} cannot be read or written: {reason}.",
        hint="Look at the store, the network and the credentials; then try again.",
    )
