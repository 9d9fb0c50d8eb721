"""weights.py: multipliers of signals, as sent or typed -> the same, checked."""

from collections.abc import Mapping
from typing import Final

from indexes.quoting import shown
from reranker.errors import BadRequest
from reranker.signals.registry import SIGNALS

_MOST: Final = 1000.0


def check_weights(weights: Mapping[str, float]) -> None:
    """BadRequest for a name that is no signal, or a weight outside -1000 to 1000."""
    for name, weight in weights.items():
        if name not in SIGNALS:
            raise BadRequest(
                f"weights names {shown(name)}, which is no signal; "
                f"signals are {', '.join(SIGNALS)}.",
                field=f"weights.{name}",
            )
        if not abs(weight) <= _MOST:
            raise BadRequest(
                f"weights.{name} is {weight}; numbers from -1000 to 1000 are allowed.",
                field=f"weights.{name}",
            )


def typed_weights(text: str) -> dict[str, float]:
    """`semantic:0.5,popular:2` -> {"semantic": 0.5, "popular": 2.0}; BadRequest for anything else.

    It is how the page's address has them, too. Multiplying by 1 changes nothing and is left out.
    """
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition(":")
        try:
            weights[name.strip()] = float(number)
        except ValueError:
            raise BadRequest(
                f"weights has {shown(part)}; write signal:number, such as semantic:0.5,popular:2.",
                field="weights",
            ) from None
    check_weights(weights)
    return {name: weight for name, weight in weights.items() if weight != 1.0}


def weights_text(weights: Mapping[str, float]) -> str:
    """What `typed_weights` reads back."""
    return ",".join(f"{name}:{weight:.12g}" for name, weight in weights.items())
