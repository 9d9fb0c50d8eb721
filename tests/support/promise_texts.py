"""promise_texts.py: the words of docs/promises.md: what is promised, and what is known to be weak."""

PROMISES = {
    1: "`/rerank` answers with exactly the candidates that were sent, once each, whatever fails inside.",
    2: "The same request, versions and blend give the same bytes of `results`; ties keep the engine's order.",
    3: "With nothing personal to add, or with personal weights at 0, the ranking is the unpersonalised one, bit for bit; with all weights at 0 it is the engine's order.",
    4: "A score is the sum of its contributions (within 1e-6), and the explained order is the served one.",
    5: "What is missing (user, history, item, model, encoder) costs only itself: 200, and `degraded` says what and why.",
    6: "A rebuild that dies at any moment leaves the old or the new index served, and the next rebuild works.",
    7: "Publishing survives a power cut: contents reach the disk before the name that serves them.",
    8: "Damage to any file of an index is refused by name before the file is parsed; the last good version goes on.",
    9: "A rebuild without disk space, rights or a writable disk says so, publishes nothing and leaves nothing behind.",
    10: "Rebuilds at the same time never mix; the lock of a dead one binds nobody.",
    11: "A rebuild that was interrupted goes on, ends with the same bytes, and encodes nothing twice.",
    12: "A bad line is named, counted and skipped; too many of them, and nothing is published.",
    13: "An index that lost many items, or whose vectors cannot be right, is not published.",
    14: "Publishing an index, a model or a blend under load costs no request, and no answer mixes two versions.",
    15: "Stopping loses nothing: not ready first, then a wait, then every accepted request is answered.",
    16: "With five times too many requests, those accepted stay in time and the rest get 503 at once.",
    17: "At its deadline a request gets the best ranking so far, at worst the engine's order.",
    18: "A history store that is slow, dead or full of rubbish costs its signals only, and a breaker opens and closes.",
    19: "An acknowledged event survives kill -9, counts once, and its history is sorted however it arrived.",
    20: "One shopper with a million events, or a flood of them, does not slow re-ranking.",
    21: "Memory stays flat over many requests and reloads, and workers share the index.",
    22: "No request makes the service answer 5xx, but for the rules of overload.",
    23: "Limits of body, candidates, depth and text hold before anything is parsed.",
    24: "Where keys are set, every route but health needs one: hashed, scoped, rotatable, in no log.",
    25: "The page takes no request of another site, runs no foreign script, and shows titles as text.",
    26: "No data runs as code: no pickle, no model's own code.",
    27: "The service opens no connection outwards and runs on a read-only disk without root.",
    28: "No name of a blend, a set of queries or a version leads out of its folder.",
    29: "Logs and metrics hold no shopper, query or history unless that is switched on.",
    30: "`forget` leaves nothing of a shopper, and proves it.",
    31: "A rate limit per key leaves other keys alone.",
    32: "A blend that cannot be meant is refused by line; publishing is atomic, logged, and refuses a lost race.",
    33: "Ready means that it can re-rank, alive that it answers: both quick and true under load.",
    34: "Clients of an older version go on working.",
    35: "Offline numbers are trec_eval's, intervals cover as often as they say, equal blends rarely differ.",
    36: "Interleaving is fair to both rankings.",
    37: "Clock jumps, daylight saving and year ends reorder no history and expire nothing wrongly.",
    38: "The wheel alone installs without a network, and the demo runs.",
}
LATER = {34, 36}

HEAD = """# Promises

What re-ranking must never do to a shop, as 38 promises, and the tests that show each. The states, counts and dates
below were written by the tests themselves (`make promises`, which runs every test that carries a promise, the long
ones too): **kept** means that all of its tests passed when they last ran, **failed** that one did not, **not tested**
that no test shows it yet, **later** that it is not promised yet. *Runs* are cases, generated examples or repetitions.
The date is that of the test that ran longest ago.

"""

LIMITS = """## Known limits

- The same bytes (2) hold between workers of `reranker serve` on processors of one kind: each computes with one BLAS
  thread. A program of your own that ranks with more threads, or another kind of processor, may differ in the last bits.
- A damaged file (8) is found when a version is opened. A disk that changes a file while it is mapped is not noticed until
  the next start or `reranker index verify`. A matching checksum says that a file is what was written, not that it is right.
- Power cuts (7) are simulated from the order in which files and folders are synced. A disk that lies about having written
  can still lose what it said it kept.
- Vectors of the cache are synced about once a second: a power cut may cost a second's work of a rebuild, never its result.
- A rebuild checks the number of items and that every vector can be right (13). It does not yet ask known queries
  of the new index: a worse encoder that gives sound vectors is published.
- Of two people who publish at once (32), the later one may be told that the blends are locked instead of that they changed.
- `behaviour` and `taste` know only the events that were acknowledged (19): what a browser never sent is not there.
- Clocks (37): how old an event is, is judged by the machine's clock. A clock that is set far ahead makes `events expire`
  delete what is old by it.
- Overload (16): the tests show that the gate refuses at once and loses nobody. How much is answered in time at five
  times the capacity is measured, and is less than we want: [reliability](reliability.md).
- 34 (older clients) and 36 (interleaving) come later.
"""
