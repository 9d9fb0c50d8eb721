"""promise_page.py: docs/promises.json -> docs/promises.md: what is promised and what shows it."""

import sys
from pathlib import Path

from support.promise_results import NUMBERS, RESULTS, Results, read, still_there, write
from support.promise_texts import HEAD, LATER, LIMITS, PROMISES

PAGE = RESULTS.with_suffix(".md")


def page(results: Results) -> str:
    """The whole page."""
    rows = ["| | promise | state | tests | runs | date |", "|---|---|---|---|---|---|"]
    rows += [row(number, results.get(str(number), {})) for number in NUMBERS]
    parts = [HEAD, LIMITS, "\n## The table\n\n", "\n".join(rows), "\n\n## The tests\n"]
    parts += [tests(number, results[str(number)]) for number in NUMBERS if str(number) in results]
    return "".join(parts)


def row(number: int, found: dict[str, dict[str, object]]) -> str:
    if not found:
        state = "later" if number in LATER else "not tested"
        return f"| {number} | {PROMISES[number]} | {state} | | | |"
    failed = any(one["outcome"] == "failed" for one in found.values())
    state = "**failed**" if failed else "kept"
    runs = sum(int(str(one["runs"])) for one in found.values())
    oldest = min(str(one["date"]) for one in found.values())
    return f"| {number} | {PROMISES[number]} | {state} | {len(found)} | {runs:,} | {oldest} |"


def tests(number: int, found: dict[str, dict[str, object]]) -> str:
    lines = [f"\n**{number}.** {PROMISES[number]}\n"]
    for name, one in sorted(found.items()):
        mark = "" if one["outcome"] == "passed" else " **failed**"
        lines.append(f"- `{name}`: {int(str(one['runs'])):,} runs, {one['date']}{mark}")
    return "\n".join(lines) + "\n"


def main(results: Path = RESULTS, target: Path = PAGE) -> None:
    found = still_there(read(results))
    write(results, found)
    target.write_text(page(found))


if __name__ == "__main__":
    sys.exit(main())
