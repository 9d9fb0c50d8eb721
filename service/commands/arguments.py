"""arguments.py: arguments as people type them -> the program's own options first.

`reranker rebuild --home shop` means the same as `reranker --home shop rebuild`, and
`reranker --json rebuild` the same as `reranker rebuild --json`.
"""

from collections.abc import Sequence
from typing import Final

_WITH_VALUE: Final = ("--home", "--settings")
_FLAG: Final = "--json"


def in_order(args: Sequence[str]) -> list[str]:
    """The same arguments with --home and --settings before the command, --json after it."""
    first: list[str] = []
    rest: list[str] = []
    json_before = False
    waiting = list(args)
    while waiting:
        arg = waiting.pop(0)
        if arg == "--":
            rest += [arg, *waiting]
            break
        if arg in _WITH_VALUE and waiting:
            first += [arg, waiting.pop(0)]
        elif arg.startswith(tuple(f"{name}=" for name in _WITH_VALUE)):
            first.append(arg)
        elif arg == _FLAG and not rest:
            json_before = True
        else:
            rest.append(arg)
    return first + rest + [_FLAG] * json_before
