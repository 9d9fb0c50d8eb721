"""cleaning.py: a row of a file or of POST /events -> a clean event, or what is wrong with it.

The import and the service use this one Cleaner, so that both keep the same event.
"""

import math
import re
import time
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

from indexes.errors import Failure
from indexes.names import MAX_NAME, BadName, is_null_word, read_name
from indexes.quoting import nearest_or_all, shown
from indexes.times import BadTime, TimeReader, TimeSettings
from reranker.events.events import SEARCH, TAKEN_BACK, HistoryEvent
from reranker.events.settings import EventSettings

MAX_QUERY: Final = 2000
MAX_AMOUNT: Final = 1e12
CONSENT: Final = "personalize"
FIELDS: Final = frozenset(HistoryEvent.__struct_fields__) | {CONSENT}
_NO: Final = frozenset({"false", "0", "no"})
_YES: Final = frozenset({"true", "1", "yes", ""})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class BadEvent(Failure):
    """An event that cannot be kept; `field` says where it is wrong."""

    code = "invalid_event"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)


class NoConsent(BadEvent):
    """An event that says that nothing may be kept of it."""

    def __init__(self) -> None:
        super().__init__(CONSENT, "not kept, because personalize is false")


class NobodysEvent(BadEvent):
    """An event whose only shopper is a word for nobody (events.drop_null_ids)."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "user",
            f"user and session are missing; {shown(name)} names nobody (events.drop_null_ids)",
        )


class Cleaner:
    """Cleans events and counts what it let pass.

    strict: a key that no event has is an error (a misspelling), else it is passed over and noted.
    """

    def __init__(
        self,
        settings: EventSettings,
        times: TimeSettings | None = None,
        *,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._types = {name: name for name in settings.weights()}
        self._allowed = ", ".join(self._types)
        self._types |= settings.words()
        self._drop_null_ids = settings.drop_null_ids
        self._strict = strict
        self.times = TimeReader(times, clock)
        self.ignored: set[str] = set()
        self.ahead_of_clock = 0
        self.null_ids = 0  # taken for absent: events.drop_null_ids

    def clean(self, row: Any) -> HistoryEvent:
        """The event that a row describes. Raises BadEvent for its first fault, NoConsent first."""
        self._look_at(row)
        kind = self._type(row.get("type"))
        user, session = self._shopper(row)
        if user is None and session is None:
            raise BadEvent("user", "user and session are missing; one of them is needed")
        return self._event(row, kind, user, session, None)

    def clean_sent(self, row: Any, without_time: float) -> HistoryEvent:
        """The event that a row of a history describes that is sent along with a request.

        Its shopper is the request's, so it needs no user or session. without_time: when it
        happened if the row does not say so. Raises BadEvent as `clean` does.
        """
        self._look_at(row)
        kind = self._type(row.get("type"))
        return self._event(row, kind, *self._shopper(row), without_time)

    def _shopper(self, row: Mapping[str, Any]) -> tuple[str | None, str | None]:
        user, session = _name("user", row.get("user")), _name("session", row.get("session"))
        if not self._drop_null_ids:
            return user, session
        dropped = [name for name in (user, session) if name is not None and is_null_word(name)]
        if not dropped:
            return user, session
        self.null_ids += 1
        user, session = (None if name in dropped else name for name in (user, session))
        if user is None and session is None:
            raise NobodysEvent(dropped[0])
        return user, session

    def _look_at(self, row: Any) -> None:
        """Consent and keys, before any value is read."""
        if not isinstance(row, Mapping):
            raise BadEvent("", f"{shown(row)} is no event; an object is expected")
        if CONSENT in row:
            _check_consent(row[CONSENT])
        if not row.keys() <= FIELDS:
            self._unknown_keys(row)

    def _event(
        self,
        row: Mapping[str, Any],
        kind: str,
        user: str | None,
        session: str | None,
        without_time: float | None,
    ) -> HistoryEvent:
        get = row.get
        item, query = _name("item", get("item")), _query(get("query"))
        if query is None and kind == SEARCH:
            raise BadEvent("query", "query is missing; a search carries its text")
        if item is None and query is None:
            raise BadEvent("item", "item and query are missing; one of them is needed")
        return HistoryEvent(
            type=kind,
            item=item,
            query=query,
            time=self._time(get("time"), without_time),
            price=_amount("price", get("price")),
            quantity=_quantity(kind, get("quantity")),
            id=_name("id", get("id")),
            user=user,
            session=session,
            ranking=_name("ranking", get("ranking")),
            position=_position(get("position")),
        )

    def _unknown_keys(self, row: Mapping[str, Any]) -> None:
        unknown = [str(key) for key in row if key not in FIELDS]
        if self._strict:
            near = nearest_or_all(unknown[0], sorted(FIELDS))
            raise BadEvent(
                unknown[0][:MAX_NAME], f"{shown(unknown[0])} is no field of an event{near}"
            )
        if len(self.ignored) < 100:
            self.ignored.update(unknown)

    def _type(self, value: Any) -> str:
        if type(value) is str and (kind := self._types.get(value)):  # as nearly all are
            return kind
        name = _name("type", value)
        if name is None:
            raise BadEvent("type", "type is missing")
        kind = self._types.get(name.lower())
        if kind is None:
            raise BadEvent(
                "type",
                f"type is {shown(value)}; allowed are {self._allowed}, and others by the setting "
                'events.types, such as "add_to_cart=cart"',
            )
        return kind

    def _time(self, value: Any, without_time: float | None) -> float:
        if value is None or value == "":
            if without_time is None:
                raise BadEvent("time", "time is missing")
            return without_time
        try:
            seconds = self.times.read(value).seconds
        except BadTime as error:
            raise BadEvent("time", str(error)) from None
        if seconds > self.times.now:  # a little: the order of its events is right
            self.ahead_of_clock += 1
        return seconds


def _check_consent(value: Any) -> None:
    answer = "" if value is None else str(value).strip().lower()
    if answer in _NO:
        raise NoConsent
    if answer not in _YES:
        raise BadEvent(CONSENT, f"personalize is {shown(value)}; true or false is expected")


def fold_query(text: str) -> str:
    """A query in one form: case, width and spaces do not matter. Accents do, as in most languages.

    Folding twice gives the same as folding once.
    """
    if text.isascii():
        text = text.lower()
    else:
        for _ in range(3):  # a few letters need a second time: folded, they compose anew
            text = unicodedata.normalize("NFKC", text.casefold())
    return " ".join(_CONTROL.sub(" ", text).split())


def _query(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadEvent("query", f"query is {shown(value)}; a text is expected")
        value = str(value)
    if len(value) > MAX_QUERY or len(folded := fold_query(value)) > MAX_QUERY:
        raise BadEvent("query", f"query has more than {MAX_QUERY:,} characters")
    return folded or None


def _name(field: str, value: Any) -> str | None:
    """An id in its one form; None for null and ""."""
    if value is None:
        return None
    if type(value) is str and value.isascii() and value.isprintable():  # as nearly all are
        if not value:
            return None
        if value[0] != " " != value[-1] and len(value) <= MAX_NAME:
            return value
    try:
        return read_name(field, value)
    except BadName as error:
        raise BadEvent(field, str(error)) from None


def _amount(field: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = None if isinstance(value, bool) else _finite(value)
    if number is None or not 0 <= number <= MAX_AMOUNT:
        raise BadEvent(
            field, f"{field} is {shown(value)}; a number from 0 to {MAX_AMOUNT:.0e} is expected"
        )
    return number


def _quantity(kind: str, value: Any) -> float | None:
    """Above 0. Shops write what was taken back as less than nothing; the type says it already."""
    if value is None or value == "":
        return None
    number = None if isinstance(value, bool) else _finite(value)
    if number is not None and kind in TAKEN_BACK:
        number = abs(number)
    if number is None or not 0 < number <= MAX_AMOUNT:
        raise BadEvent(
            "quantity",
            f"quantity is {shown(value)}; a number above 0 is expected (returns are cancels)",
        )
    return number


def _position(value: Any) -> int | None:
    if value is None or value == "":
        return None
    number = None if isinstance(value, bool) else _finite(value)
    if number is None or not number.is_integer() or not 0 <= number < 2**31:
        raise BadEvent("position", f"position is {shown(value)}; a whole number is expected")
    return int(number)


def _finite(value: Any) -> float | None:
    """A finite number, also one in a string; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
