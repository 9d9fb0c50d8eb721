"""vector_parts.py: a catalogue, k of n -> vectors of that share of its texts, in a checked file.

A share is what the hash of a text says, so that every machine agrees without asking. A part is a
vector cache (one block a batch), and beside it a note that says of which encoder and template it
is and seals its bytes. Without the note it is unfinished: the same command goes on with it.

    DIR/part-3-of-16.bin, part-3-of-16.json; unfinished: part-3-of-16.KEY.partial
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from indexes.build.catalogue_pass import WINDOW
from indexes.build.known_keys import NEW, KnownKeys
from indexes.build.settings import RebuildSettings
from indexes.build.vector_cache import DIGEST, Digests, VectorCache
from indexes.build.vectors import usable
from indexes.encoders.adapted import encoder_settings
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.errors import Failure
from indexes.items.records import ItemReader, read_items
from indexes.items.text import ItemText, text_digest, vectors_key
from indexes.progress import Advance, Progress
from indexes.readers.file_forms import FileForm
from indexes.readers.lines import existing
from indexes.storage import durable
from indexes.storage.locks import exclusive
from indexes.times import TimeSettings
from indexes.workspace import Workspace

_FORM: Final = 1
_NOTE: Final = re.compile(r"part-(\d+)-of-(\d+)\.json")
_PIECE: Final = 1 << 20
_TAKEN: Final = 16_384  # vectors in memory while a part is taken in


class Share(NamedTuple):
    """Part k of n, from 1."""

    k: int
    n: int

    @property
    def name(self) -> str:
        return f"part-{self.k}-of-{self.n}"

    def holds(self, digest: bytes) -> bool:
        """Whether a text is of this share."""
        return int.from_bytes(digest[:8], "little") % self.n == self.k - 1


class PartNote(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a finished part says of itself. sha256: of the vectors' file."""

    form: int
    part: int
    parts: int
    model: str
    fingerprint: str
    template: str
    dimensions: int
    texts: int
    bytes: int
    sha256: str


class Encoded(msgspec.Struct, kw_only=True):
    """What `encode` did: texts of this share, how many of them were encoded now, lines rejected."""

    part: int
    parts: int
    texts: int = 0
    encoded: int = 0
    skipped: int = 0
    file: str = ""


def parsed_share(text: str) -> Share:
    """`3/16`; ValueError where it is none."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    share = Share(int(found[1]), int(found[2])) if found else Share(0, 0)
    if not 1 <= share.k <= share.n:
        raise ValueError(f"{text!r} is no part; k/n with k from 1 to n is expected, such as 3/16")
    return share


def encode_part(
    workspace: Workspace,
    source: Path,
    share: Share,
    folder: Path,
    progress: Progress,
    *,
    encoding: str | None = None,
    besides: Path | None = None,
) -> Encoded:
    """Encode a share of a catalogue's texts. Safe to be killed and repeated.

    besides: a vector cache whose texts need no vector any more.
    """
    existing(source)
    durable.make_folder(folder)
    encoder = load_encoder(encoder_settings(workspace))
    template = workspace.section(RebuildSettings).template
    key = vectors_key(encoder.fingerprint, template)
    done = Encoded(part=share.k, parts=share.n, file=str(folder / f"{share.name}.bin"))
    with exclusive(folder / f"{share.name}.lock", f"reranker encode --part {share.k}/{share.n}"):
        partial = folder / f"{share.name}.{key}.partial"
        _reopen(folder, share, partial, encoder, template)
        for other in folder.glob(f"{share.name}.*.partial"):  # of other settings
            if other != partial:
                other.unlink()
        with VectorCache(partial) as cache, progress("encoding", None) as advance:
            for texts in _windows(workspace, source, encoding, share, cache, besides, done):
                _encode_window(encoder, texts, cache, advance)
                done.encoded += len(texts)
            cache.sync()
            count = len(cache)
        _finish(folder, share, partial, encoder, template, workspace, count)
    return done


def _reopen(folder: Path, share: Share, partial: Path, encoder: TextEncoder, template: str) -> None:
    """Take up a finished part of the same encoder: the catalogue may have new texts."""
    note_path, vectors = folder / f"{share.name}.json", folder / f"{share.name}.bin"
    if not note_path.exists():
        return
    try:
        note = _read_note(note_path)
        fits = (note.fingerprint, note.template) == (encoder.fingerprint, template)
        fits = fits and note.sha256 == _sha256(vectors)
    except (Failure, OSError):
        fits = False
    note_path.unlink()
    if fits and not partial.exists():
        vectors.rename(partial)


def _windows(
    workspace: Workspace,
    source: Path,
    encoding: str | None,
    share: Share,
    cache: VectorCache,
    besides: Path | None,
    done: Encoded,
) -> Iterator[list[str]]:
    """Texts of the share that have no vector, some thousand at a time, each once."""
    met: KnownKeys[np.bytes_] = KnownKeys(DIGEST)
    texts = _texts(workspace, source, encoding, share, done)
    elsewhere = VectorCache(besides) if besides is not None and besides.exists() else None
    while window := list(islice(texts, WINDOW)):
        by_digest = dict(window)
        digests = np.array(list(by_digest), dtype=DIGEST)
        new = met.find(digests) == NEW
        met.add(digests[new], np.zeros(int(new.sum()), np.int64))
        done.texts += int(new.sum())
        wanted = new & ~cache.known(digests)
        if elsewhere is not None:
            wanted &= ~elsewhere.known(digests)
        own = [
            text for text, is_wanted in zip(by_digest.values(), wanted, strict=True) if is_wanted
        ]
        if own:
            yield own
    if elsewhere is not None:
        elsewhere.close()


def _texts(
    workspace: Workspace, source: Path, encoding: str | None, share: Share, done: Encoded
) -> Iterator[tuple[bytes, str]]:
    settings = workspace.section(RebuildSettings)
    template = ItemText(settings.template)
    reader = ItemReader(
        strict=False,
        times=workspace.section(TimeSettings),
        columns=settings.columns,
        template_columns=template.columns,
    )

    def rejected(_bad: Any) -> None:
        done.skipped += 1

    for _, item in read_items(source, rejected, reader, FileForm(encoding)):
        text = template.render(item)
        digest = text_digest(text)
        if share.holds(digest):
            yield digest, text


def _encode_window(
    encoder: TextEncoder, texts: list[str], cache: VectorCache, advance: Advance
) -> None:
    digests = np.array([text_digest(text) for text in texts], dtype=DIGEST)
    for positions, vectors in encoder.encode_batches(texts):
        cache.append(digests[positions], usable(vectors, encoder.dimensions))
        advance(len(positions))


def _finish(
    folder: Path,
    share: Share,
    partial: Path,
    encoder: TextEncoder,
    template: str,
    workspace: Workspace,
    count: int,
) -> None:
    vectors = folder / f"{share.name}.bin"
    note = PartNote(
        form=_FORM,
        part=share.k,
        parts=share.n,
        model=workspace.section(EncoderSettings).model,
        fingerprint=encoder.fingerprint,
        template=template,
        dimensions=encoder.dimensions,
        texts=count,
        bytes=partial.stat().st_size,
        sha256=_sha256(partial),
    )
    os.replace(partial, vectors)
    durable.replace_synced(folder / f"{share.name}.json", msgspec.json.encode(note) + b"\n", 0o644)


def take_parts(folder: Path, encoder: TextEncoder, template: str, cache: VectorCache) -> int:
    """Put the vectors of all parts of a folder into the cache; how many were new.

    Failure, with the cache as it was, where a part is missing, damaged, or of another encoder or
    template.
    """
    notes = _whole_set(folder)
    for note in notes:
        _check(folder, note, encoder, template)
    before = len(cache)
    for note in notes:
        with VectorCache(folder / f"{Share(note.part, note.parts).name}.bin") as part:
            for digests in _blocks(part.digests()):
                new = digests[~cache.known(digests)]
                if len(new):
                    cache.append(new, part.vectors(new))
    cache.sync()
    return len(cache) - before


def take_vectors(vectors: Mapping[bytes, Any], cache: VectorCache) -> None:
    """Put vectors (d,) into the cache that a service made meanwhile, by the digests of texts."""
    if not vectors:
        return
    digests = np.array(list(vectors), dtype=DIGEST)
    new = ~cache.known(digests)
    if new.any():
        cache.append(digests[new], np.stack(list(vectors.values()))[new])


def _blocks(digests: Digests) -> Iterator[Digests]:
    return (digests[at : at + _TAKEN] for at in range(0, len(digests), _TAKEN))


def _whole_set(folder: Path) -> list[PartNote]:
    """The notes of parts 1 to n of one n; Failure names those that are missing."""
    found = {
        (int(match[2]), int(match[1])): path
        for path in sorted(folder.glob("part-*.json"))
        if (match := _NOTE.fullmatch(path.name))
    }
    counts = {parts for parts, _ in found}
    if not counts:
        raise Failure(
            f"{folder} holds no finished part.",
            field="--vectors",
            hint=f"Run `reranker encode --items FILE --part 1/1 --out {folder}` first.",
        )
    if len(counts) > 1:
        many = " and ".join(f"of {parts}" for parts in sorted(counts))
        raise Failure(
            f"{folder} holds parts {many}.", field="--vectors", hint="Delete those of one kind."
        )
    (parts,) = counts
    missing = [part for part in range(1, parts + 1) if (parts, part) not in found]
    if missing:
        names = ", ".join(f"{part}/{parts}" for part in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise Failure(
            f"{folder} lacks {names}{more}.",
            field="--vectors",
            hint=f"Run `reranker encode --items FILE --part {missing[0]}/{parts} --out {folder}`: "
            "one that was killed goes on where it was.",
        )
    return [_read_note(found[parts, part]) for part in range(1, parts + 1)]


def _read_note(path: Path) -> PartNote:
    try:
        note = msgspec.json.decode(path.read_bytes(), type=PartNote)
    except (msgspec.DecodeError, OSError) as error:
        raise _unfit(path, f"cannot be read ({error})") from None
    if note.form != _FORM or path.name != f"{Share(note.part, note.parts).name}.json":
        raise _unfit(path, "is of another part or form")
    return note


def _check(folder: Path, note: PartNote, encoder: TextEncoder, template: str) -> None:
    vectors = folder / f"{Share(note.part, note.parts).name}.bin"
    if note.fingerprint != encoder.fingerprint:
        raise _unfit(vectors, f"was made by the encoder {note.model} ({note.fingerprint})")
    if note.template != template:
        raise _unfit(vectors, f"was made with the template {note.template!r}")
    try:
        whole = vectors.stat().st_size == note.bytes and _sha256(vectors) == note.sha256
    except OSError as error:
        raise _unfit(vectors, f"cannot be read ({error.strerror})") from None
    if not whole:
        raise _unfit(vectors, "is damaged: its bytes are not those of its note")


def _unfit(path: Path, problem: str) -> Failure:
    return Failure(
        f"{path} {problem}. No vector was taken.",
        field="--vectors",
        hint="Delete it and its .json, and run `reranker encode` for this part again, with the "
        "settings of this home.",
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
