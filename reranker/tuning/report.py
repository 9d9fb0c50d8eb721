"""report.py: a tuning -> what a person reads: counts, kinds side by side, what to do."""

from collections.abc import Iterator

from reranker.evaluation.leakage import refused
from reranker.evaluation.report import verdict
from reranker.feedback.off_policy import EstimateReport
from reranker.tuning.tune import CHOSEN, PUBLISHED, Tuning


def report(tuning: Tuning, saved: str | None) -> str:
    """The whole report."""
    return "\n".join(
        [
            *_counts(tuning),
            "",
            *(_table(tuning) if tuning.clicks is None else _estimates(tuning, tuning.clicks)),
            "",
            *(_verdicts(tuning) if tuning.clicks is None else _click_verdicts(tuning)),
            "",
            *_weights(tuning),
            *_pareto(tuning),
            "",
            _next(tuning, saved),
        ]
    )


def _counts(tuning: Tuning) -> Iterator[str]:
    yield f"{tuning.queries:,} queries, {tuning.left_out:,} left out (no rating above 0)"
    yield from refused(tuning.leaks_by)
    how = "each held out once" if tuning.folds > 1 else "held out"
    of = "" if tuning.shoppers is None else f" of {tuning.shoppers:,} shoppers"
    yield f"{tuning.held_out:,} queries{of} {how}: the fitted blends had not seen them"
    coverage = tuning.coverage
    yield f"{coverage.judged:,} of {coverage.candidates:,} candidates are judged"
    if tuning.fitted_on:
        yield (
            f"{tuning.published} was fitted on {tuning.fitted_on:,} of these requests: its own "
            "figures are too good"
        )
    yield from tuning.notes
    yield from (f"warning: {warning}" for warning in tuning.warnings)


def _table(tuning: Tuning) -> Iterator[str]:
    names = [name for name in tuning.metrics if name != CHOSEN or len(tuning.differences) > 1]
    rows = [["", *(_label(tuning, name) for name in names)]]
    for metric in next(iter(tuning.metrics.values())):
        rows.append([metric, *(f"{tuning.metrics[name][metric]:.4f}" for name in names)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = row
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *cells])


def _estimates(tuning: Tuning, clicks: EstimateReport) -> Iterator[str]:
    yield f"clicks per search (off-policy estimates, intervals for {tuning.tried} kinds tried):"
    seen = clicks.observed
    yield f"  {'observed':<20}{seen.value:.4f}  {seen.low:.4f} .. {seen.high:.4f}"
    for name, order in clicks.orders.items():
        value = order.clicks
        yield (
            f"  {_label(tuning, name):<20}{value.value:.4f}  {value.low:.4f} .. {value.high:.4f}"
            f"   effective clicks {order.effective_clicks:,.0f}"
        )
    yield clicks.note


def _click_verdicts(tuning: Tuning) -> Iterator[str]:
    yield f"clicks per search: {verdict(CHOSEN, tuning.published, tuning.proof)}"
    if tuning.tried > 1:
        yield f"{tuning.chosen} is what validation chooses, and is fitted again on all requests"


def _label(tuning: Tuning, name: str) -> str:
    if name == PUBLISHED:
        return tuning.published
    return name


def _verdicts(tuning: Tuning) -> Iterator[str]:
    metric = tuning.metric
    for kind, differences in tuning.differences.items():
        yield f"{metric}: {verdict(kind, tuning.compared_with, differences[metric])}"
    if len(tuning.differences) > 1:
        yield f"{metric}: {verdict(CHOSEN, tuning.compared_with, tuning.difference[metric])}"
    against = verdict(CHOSEN, tuning.published, tuning.against_published[metric])
    yield f"{metric}: {against}"
    if len(tuning.differences) > 1:
        yield f"{tuning.chosen} is what validation chooses, and is fitted again on all requests"


def _weights(tuning: Tuning) -> Iterator[str]:
    if tuning.chosen == "linear":
        pairs = sorted(tuning.weights.items(), key=lambda pair: -pair[1])
        yield "weights: " + ", ".join(f"{name} {weight:.3g}" for name, weight in pairs)


def _pareto(tuning: Tuning) -> Iterator[str]:
    front = [point for point in tuning.pareto if point.front]
    if not front:
        return
    yield (
        f"{tuning.metric} of {tuning.pareto_kind}, bolder or more careful, against how much of the "
        "engine's first 10 is replaced:"
    )
    low = min(point.value for point in tuning.pareto)
    high = max(point.value for point in tuning.pareto)
    for point in front:
        share = (point.value - low) / (high - low) if high > low else 1.0
        bar = "#" * round(24 * share)
        yield (
            f"  {point.changed:>4.0%} replaced  {point.value:.4f}  {bar:<24}"
            f"  text x {point.text:g}, personal x {point.personal:g}"
        )


def _why_not(tuning: Tuning) -> str:
    proof = tuning.proof
    if proof.low is not None and proof.low > 0:
        return f"better than {tuning.published}, but worse than the engine"
    if proof.mean <= 0:
        return f"it is not better than {tuning.published}, which is served"
    tried = f" (for {tuning.tried} kinds tried)" if tuning.tried > 1 else ""
    return (
        f"the interval of the gain over {tuning.published}, which is served, includes zero{tried}; "
        "more judged queries would tell"
    )


def _next(tuning: Tuning, saved: str | None) -> str:
    if tuning.recommended:
        recommendation = f"recommended: {tuning.chosen}"
    else:
        recommendation = f"not recommended: {_why_not(tuning)}"
    if saved is None:
        return f"{recommendation}. Nothing was stored; --save NAME stores it."
    return f"{recommendation}. Stored as {saved}, not published: `reranker blends publish {saved}`."
