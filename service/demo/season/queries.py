"""queries.py: the shop's words -> Queries, what shoppers type and what each of them means by it."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from indexes.storage.arrays import Floats, Ints
from service.demo.shop.brands import BRANDS
from service.demo.shop.draw import Draw
from service.demo.shop.facts import Facts
from service.demo.shop.items import DEPARTMENT_OF_KIND, KINDS, Shop
from service.demo.shop.vocabulary import Kind
from service.demo.shop.writing import bare
from service.page.parts.engine import Engine

SHOWN = 100  # candidates per query

# What is left of an item's relevance where it lacks what the query names.
_LACKING = {"noun": 0.7, "colour": 0.5, "material": 0.5, "trait": 0.55, "use": 0.6, "size": 0.6}
_LACKING |= {"audience": 0.3, "brand": 0.35}
_OTHER_KIND = 0.3  # a neighbour on the same shelf


class Query(NamedTuple):
    """Words, and the need behind them: a kind, and details that the item should have."""

    text: str
    kind: int
    weight: float  # how often it is typed, among the queries of its kind
    wants: tuple[tuple[str, str], ...] = ()  # ("colour", "navy"), ...
    model_row: int = -1  # the one item that an exact model number names
    brand: int = -1


@dataclass(frozen=True)
class Queries:
    """All queries, kind by kind, with the engine's answers and their true relevance."""

    queries: list[Query]
    rows: Ints  # (queries, SHOWN): item rows in the engine's order; -1 where there are no more
    scores: Floats  # (queries, SHOWN)
    relevance: Floats  # (queries, SHOWN): 0 to 1, before any taste
    first: Ints  # (kinds + 1): queries of kind k are first[k] to first[k + 1]
    of_brand: Ints  # (kinds, brands): the query "brand + kind"; -1 where the brand has none

    @property
    def weights(self) -> Floats:
        return np.array([query.weight for query in self.queries])


def make_queries(rng: np.random.Generator, shop: Shop, engine: Engine) -> Queries:
    draw = Draw(rng)
    rows_of = defaultdict(list)
    for row, kind in enumerate(shop.kind.tolist()):
        rows_of[kind].append(row)
    shared = _shared_words()
    queries: list[Query] = []
    first = [0]
    for kind in range(len(KINDS)):
        queries += _of_kind(draw, shop, kind, rows_of[kind], shared[kind])
        first.append(len(queries))
    rows, scores = _answers(engine, queries)
    return Queries(
        queries, rows, scores, _relevance(shop, queries, rows), np.array(first), _by_brand(queries)
    )


def _of_kind(draw: Draw, shop: Shop, kind: int, rows: list[int], shared: list[str]) -> list[Query]:
    words = KINDS[kind]
    queries = [Query(text, kind, 4.0) for text in words.asked]
    queries += [Query(text.lower(), kind, 2.0, (("noun", text),)) for text in words.nouns]
    queries += [Query(text, kind, 1.5) for text in shared]
    for row in draw.sample(rows, 10):
        queries.append(_detailed(draw, kind, shop.facts[row]))
    for row in draw.sample([row for row in rows if shop.facts[row].model], 2):
        queries.append(Query(shop.facts[row].model, kind, 1.0, model_row=row))
    for brand in sorted({int(shop.brand[row]) for row in rows}):
        name = f"{BRANDS[brand].name} {words.name}".lower()
        wants = (("brand", BRANDS[brand].name),)
        queries.append(Query(name, kind, 0.0, wants, brand=brand))
    return queries


def _detailed(draw: Draw, kind: int, facts: Facts) -> Query:
    """A query for something that at least one item has."""
    words = KINDS[kind]
    thing = draw.pick((words.name, *words.asked[:1], facts.noun.lower()))
    ways = [
        (f"{facts.material} {words.name}", "material", facts.material),
        (f"{thing} with {bare(facts.traits[0])}", "trait", facts.traits[0]),
        (f"{words.name} for {facts.uses[0]}", "use", facts.uses[0]),
    ]
    if facts.colour:
        ways.append((f"{facts.colour} {words.name}", "colour", facts.colour))
        ways.append((f"{thing} {facts.colour}", "colour", facts.colour))
    if facts.audience:
        ways.append((f"{facts.audience} {words.name}", "audience", facts.audience))
    if facts.size:
        ways.append((f"{words.name} {facts.size}", "size", facts.size))
    text, detail, value = draw.pick(ways)
    return Query(text.lower(), kind, 1.0, ((detail, value),))


def _shared_words() -> list[list[str]]:
    """For each kind, the words in its names that another department uses too: "case", "running"."""
    kinds_of: dict[str, set[int]] = defaultdict(set)
    for number, kind in enumerate(KINDS):
        for word in " ".join((kind.name, *kind.nouns)).lower().split():
            kinds_of[word].add(number)
    shared: list[list[str]] = [[] for _ in KINDS]
    for word, kinds in sorted(kinds_of.items()):
        if len(word) > 2 and len({int(DEPARTMENT_OF_KIND[kind]) for kind in kinds}) > 1:
            for number in sorted(kinds):
                if word in KINDS[number].name:
                    shared[number].append(word)
    return [words[:2] for words in shared]


def _answers(engine: Engine, queries: list[Query]) -> tuple[Ints, Floats]:
    rows = np.full((len(queries), SHOWN), -1)
    scores = np.zeros((len(queries), SHOWN))
    known: dict[str, list[tuple[int, float]]] = {}
    for number, query in enumerate(queries):
        if query.text not in known:
            known[query.text] = engine.search_rows(query.text, SHOWN)
        for place, (row, score) in enumerate(known[query.text]):
            rows[number, place], scores[number, place] = row, score
    return rows, scores


def _relevance(shop: Shop, queries: list[Query], rows: Ints) -> Floats:
    wanted = np.array([query.kind for query in queries])[:, None]  # (queries, 1)
    shelves = {name: number for number, name in enumerate(sorted({_shelf(k) for k in KINDS}))}
    shelf = np.array([shelves[_shelf(kind)] for kind in KINDS])
    kinds = shop.kind[rows]  # (queries, SHOWN)
    relevance = np.where(shelf[kinds] == shelf[wanted], _OTHER_KIND, 0.0)
    relevance[kinds == wanted] = 1.0
    relevance[rows < 0] = 0.0
    for number, query in enumerate(queries):
        for place in np.flatnonzero(relevance[number]):
            row = int(rows[number, place])
            relevance[number, place] *= _meets(query, row, shop.facts[row])
    return relevance


def _shelf(kind: Kind) -> str:
    return kind.shelf.split(" > ")[0]


def _meets(query: Query, row: int, facts: Facts) -> float:
    if query.model_row >= 0:
        return 1.0 if row == query.model_row else 0.35
    left = 1.0
    for detail, value in query.wants:
        if not _has(facts, detail, value):
            left *= _LACKING[detail]
    return left


def _has(facts: Facts, detail: str, value: str) -> bool:
    if detail == "trait":
        return value in facts.traits
    if detail == "use":
        return value in facts.uses
    if detail == "brand":
        return value == facts.brand.name
    return bool(getattr(facts, detail) == value)


def _by_brand(queries: list[Query]) -> Ints:
    table = np.full((len(KINDS), len(BRANDS)), -1)
    for number, query in enumerate(queries):
        if query.brand >= 0:
            table[query.kind, query.brand] = number
    return table
