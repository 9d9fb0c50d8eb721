"""settings.py: the section [formats]: how requests in other systems' formats are understood."""

from typing import Annotated, Final, Literal, cast, get_args

import msgspec

from indexes.errors import Failure
from indexes.workspace import Settings

Mode = Literal["auto", "id", "text"]
MODES: Final[tuple[str, ...]] = get_args(Mode)


class FormatSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the documents and models of other systems' formats mean here."""

    documents: Annotated[
        Mode,
        msgspec.Meta(
            description="What the documents of other formats are: ids of items, texts, or, with "
            "auto, ids where enough of them are in the index (formats.id_share) and else texts."
        ),
    ] = "auto"
    documents_of: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="The same for single routes, as route=auto, route=id or route=text, such "
            'as "/v2/rerank=id".'
        ),
    ] = ()
    id_share: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=1,
            description="Share of a request's documents that have to be ids of the index for auto "
            "to take them for ids; those among them that are not are read as texts.",
        ),
    ] = 0.5
    models: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Blends that other formats' model names stand for, as model=blend, such "
            'as "xgboost=default". A name that is not here means the published blend; in '
            "addresses such as /rank/NAME it is a blend itself."
        ),
    ] = ()

    def __post_init__(self) -> None:
        for entry in self.documents_of:
            mode = entry.rpartition("=")[2].strip()
            if not entry.startswith("/") or mode not in MODES:
                raise Failure(
                    f"formats.documents_of holds {entry!r}; a route and one of {', '.join(MODES)} "
                    'are expected, such as "/v2/rerank=id".',
                    field="formats.documents_of",
                )
        for entry in self.models:
            name, _, blend = entry.partition("=")
            if not name.strip() or not blend.strip():
                raise Failure(
                    f"formats.models holds {entry!r}; a model's name and a blend are expected, "
                    'such as "xgboost=default".',
                    field="formats.models",
                )

    def mode_of(self, route: str) -> Mode:
        """What the documents of this route are."""
        for entry in self.documents_of:
            name, _, mode = (part.strip() for part in entry.rpartition("="))
            if name == route:
                return cast(Mode, mode)  # checked when the settings were read
        return self.documents

    def blend_of(self, model: str) -> str | None:
        """The blend that a model's name stands for; None where nobody said so."""
        for entry in self.models:
            name, _, blend = entry.partition("=")
            if name.strip() == model:
                return blend.strip()
        return None
