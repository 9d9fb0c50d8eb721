"""callback_values.py: what a browser sent to a callback -> the values that it declares, or 422.

Dash hands over whatever JSON came. Here the form of a call is checked before Dash reads it, and
each value against the annotation of the parameter that it is for: once, for every callback.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, Final, get_type_hints

import msgspec
from dash import Dash

from indexes.errors import Failure
from indexes.names import MAX_NAME
from reranker.errors import BadRequest
from service.http.answers import STATUS, Malformed
from service.http.received import MAX_DEPTH

# What a name or an address never holds: control characters, halves of surrogate pairs.
_PRINTED: Final = "[^\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]*"
MAX_MEMBERS: Final = 5_000  # parts of a call, and of a list of names

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME, pattern=f"^{_PRINTED}\\Z")]
Names = Annotated[list[Name], msgspec.Meta(max_length=100)]


class Row(msgspec.Struct, frozen=True):
    """A row of a list that was chosen; more of it was sent."""

    label: Name


class RowIds(msgspec.Struct, frozen=True):
    """Rows that a callback chose, by id."""

    ids: list[Name] = []


Rows = RowIds | list[Row] | None


def labels(chosen: Rows) -> list[str]:
    """The labels of the rows that are chosen."""
    if isinstance(chosen, RowIds):
        return list(chosen.ids)
    return [row.label for row in chosen or ()]


class _Part(msgspec.Struct):
    """An input, a state or an output: of which component, which property, what it is."""

    id: str | dict[str, str | int | float | bool]
    property: str
    value: Any = None


_Parts = Annotated[list[_Part | list[_Part]], msgspec.Meta(max_length=MAX_MEMBERS)]


class _Call(msgspec.Struct):
    """The body of /_dash-update-component."""

    output: str
    outputs: _Part | list[_Part]
    inputs: _Parts
    changedPropIds: Annotated[list[str], msgspec.Meta(max_length=MAX_MEMBERS)] = []
    state: _Parts = []


_decoder: Final = msgspec.json.Decoder()


def check_call(body: bytes, known: Mapping[str, Any]) -> None:
    """Malformed or BadRequest unless this is a call of one of these callbacks (Dash's map), with
    as many outputs, inputs and states as it has."""
    try:
        sent = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Malformed(f"The body is not JSON: {error}.") from None
    if _deeper(sent, 2 * MAX_DEPTH):
        raise Malformed(f"The body is nested more than {2 * MAX_DEPTH} deep.")
    try:
        call = msgspec.convert(sent, _Call)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The body is no call of a callback: {error}.") from None
    callback = known.get(call.output)
    if callback is None or "callback" not in callback:
        raise BadRequest("output names no callback of this page.", field="output")
    _check_parts(call, callback)
    _check_changed(call)


def _deeper(value: Any, most: int) -> bool:
    """Whether lists and objects are nested deeper than this."""
    level, depth = [value], 0
    while level:
        level = [
            held
            for one in level
            if isinstance(one, dict | list)
            for held in (one.values() if isinstance(one, dict) else one)
            if isinstance(held, dict | list)
        ]
        depth += 1
        if depth > most:
            return True
    return False


def _check_parts(call: _Call, callback: Mapping[str, Any]) -> None:
    for field, sent, declared in (
        ("inputs", call.inputs, callback["inputs"]),
        ("state", call.state, callback["state"]),
    ):
        patterns = [one["id"].startswith("{") for one in declared]
        if [isinstance(part, list) for part in sent] != patterns:
            raise BadRequest(f"{field} are not those of this callback.", field=field)
    outputs = callback["output"]
    one, many = isinstance(call.outputs, _Part), isinstance(outputs, list | tuple)
    if one == many or (not one and len(call.outputs) != len(outputs)):  # type: ignore[arg-type]
        raise BadRequest("outputs are not those of this callback.", field="outputs")


def _check_changed(call: _Call) -> None:
    """Dash reads what stands before the last dot: a name, or an object of plain values."""
    for changed in call.changedPropIds:
        name = changed.rpartition(".")[0]
        try:
            if name.startswith("{"):
                msgspec.json.decode(name.encode(), type=dict[str, str | int | float | bool])
        except (msgspec.MsgspecError, UnicodeError, ValueError):
            raise BadRequest("changedPropIds names no input.", field="changedPropIds") from None


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same callback, whose values are what its annotations say. BadRequest for others, and for
    a failure that the callback does not show itself."""
    hints = get_type_hints(function, include_extras=True)
    wanted = [(name, hints.get(name, Any)) for name in inspect.signature(function).parameters]

    @wraps(function)
    def called(*values: Any) -> Any:
        pairs = zip(wanted, values, strict=True)
        given = [_value(name, hint, value) for (name, hint), value in pairs]
        try:
            return function(*given)
        except tuple(STATUS):
            raise
        except Failure as failure:
            raise BadRequest(str(failure), field=failure.field) from failure

    return called


def _value(name: str, hint: Any, value: Any) -> Any:
    if hint is Any:
        return value
    try:
        return msgspec.convert(value, hint)
    except (msgspec.ValidationError, UnicodeError) as error:
        field = name.strip("_")
        raise BadRequest(f"{field}: {error}.", field=field) from None


class CheckedDash(Dash):
    """Dash, each of whose callbacks gets what it declares."""

    def callback(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """As Dash's own decorator."""
        register: Callable[..., Any] = super().callback(*args, **kwargs)
        return lambda function: register(checked(function))
