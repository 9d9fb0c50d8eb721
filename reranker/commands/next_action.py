"""next_action.py: `reranker evaluate next-action` on the command line."""

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from reranker.commands.output import echo_result, json_option
from reranker.events.settings import EventSettings
from reranker.model.settings import ENCODERS, TrainSettings

_TRAINED_SHARE: Final = 0.8  # of all events
_LEARNED: Final = 40_000
_ASKED: Final = 20_000
_RESAMPLES: Final = 200
_METRICS: Final = ("auc", "pr_auc", "brier", "ece")


class NoActions(Failure):
    """Events of which none is a purchase or a cart."""

    code = "no_purchases"


@click.command("next-action")
@click.option(
    "--events", "source", type=click.Path(path_type=Path), help="Instead of the imported events."
)
@click.option("--encoder", type=click.Choice(ENCODERS), help="Instead of train.encoder.")
@click.option(
    "--minutes",
    type=FiniteRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Of training the encoder.",
)
@click.option("--ids-only", is_flag=True, help="Without the index: items are known by id alone.")
@json_option("End with the result as one JSON object.")
@click.pass_obj
def next_action_command(
    workspace: Workspace,
    source: Path | None,
    encoder: str | None,
    minutes: float,
    ids_only: bool,
    as_json: bool,
) -> None:
    """Foresee purchase, cart and leaving within the visit; nothing is published.

    Encoder and head learn from visits that ended before the moment that 80 % of all events precede;
    they are asked after events that came later. Beside them a logistic regression on recency and
    counts.
    """
    settings = workspace.section(TrainSettings)
    chosen = {"encoder": encoder or settings.encoder, "minutes": minutes}
    settings = msgspec.structs.replace(settings, **chosen)
    result = evaluate_actions(workspace, settings, source, ids_only)
    echo_result(result, _table(result), as_json)


def evaluate_actions(
    workspace: Workspace, settings: TrainSettings, source: Path | None, ids_only: bool
) -> dict[str, Any]:
    """Train on the first part, ask in the second; the report."""
    import numpy as np

    from reranker.commands.next_item import read_sequences
    from reranker.model.action_head import fit_head
    from reranker.model.card import ACTIONS
    from reranker.model.next_action import HIDDEN
    from reranker.training.actions import action_cases, model_inputs, plain_inputs
    from reranker.training.data import training_data
    from reranker.training.epoch_logs import epoch_bars, epoch_log
    from reranker.training.loop import Training

    sequences, catalogue = read_sequences(workspace, source, ids_only)
    gap = workspace.section(EventSettings).session_minutes
    _check_actions(sequences)
    cutoff = float(np.quantile(sequences.times, _TRAINED_SHARE))
    before = np.append(0, np.cumsum(sequences.times < cutoff))
    limits = sequences.at[:-1] + before[sequences.at[1:]] - before[sequences.at[:-1]]
    cases = action_cases(sequences, gap)
    rng = np.random.default_rng(settings.seed)
    learned = _some(rng, np.flatnonzero(cases.ended + gap * 60 < cutoff), _LEARNED)
    asked = _some(rng, np.flatnonzero(sequences.times[cases.positions] >= cutoff), _ASKED)
    if len(learned) < 100 or not len(asked):
        raise Failure(
            f"{len(learned):,} moments to learn from and {len(asked):,} to ask at are too few.",
            hint="Give events of more visits; events.session_minutes says when a visit ends.",
        )
    data = training_data(sequences, catalogue, limits, settings)
    with epoch_log(None, lambda line: click.echo(line, err=True)) as on_epoch:
        training = Training(data, settings, progress=epoch_bars, on_epoch=on_epoch)
        trained = training.run()
    inputs = {}
    for name, some in (("learned", learned), ("asked", asked)):
        positions = cases.positions[some]
        plain = plain_inputs(sequences, positions, settings.length, gap)
        whole = model_inputs(
            plain, trained.model, training.items, sequences, positions, settings.length
        )
        inputs[name] = {"logistic": plain, "model": whole}
    labels, shoppers = cases.labels[learned], cases.shoppers[learned]
    chances = {
        name: fit_head(inputs["learned"][name], labels, shoppers, HIDDEN if name == "model" else 0)(
            inputs["asked"][name]
        )
        for name in ("model", "logistic")
    }
    truth = cases.labels[asked]
    possible = [
        at
        for at in range(len(ACTIONS))
        if 0 < truth[:, at].sum() < len(truth) and labels[:, at].any()
    ]
    return {
        "cases": len(asked),
        "learned": len(learned),
        "open_visits": cases.open_visits,
        "same_moment": cases.same_moment,
        "encoder": settings.encoder,
        "epochs": trained.epochs,
        **_compared(
            truth, chances, cases.shoppers[asked], [ACTIONS[at] for at in possible], possible
        ),
        "not_possible": [name for at, name in enumerate(ACTIONS) if at not in possible],
    }


def _check_actions(sequences: Any) -> None:
    """Failure where neither purchases nor carts are among the events: nothing is to be foreseen."""
    import numpy as np

    from reranker.model.card import ACTIONS, LEAVE
    from reranker.model.next_action import lacking

    names = list(sequences.weights)
    seen = {names[number] for number in np.unique(sequences.types).tolist()}
    if seen & (set(ACTIONS) - {LEAVE}):
        return
    there = ", ".join(name for name in names if name in seen)
    raise NoActions(
        f"The events are of the types {there}: no purchase and no cart is among them, so that "
        "there is no next action to foresee.",
        field="events.types",
        hint=lacking("purchase", names),
    )


def _some(rng: Any, places: Any, most: int) -> Any:
    import numpy as np

    return np.sort(rng.permutation(places)[:most])


def _compared(
    truth: Any, chances: dict[str, Any], shoppers: Any, names: list[str], columns: list[int]
) -> dict[str, Any]:
    """Metrics of both, and model minus logistic with its 95 % interval over shoppers."""
    import numpy as np

    from reranker.metrics.classification import action_metrics

    metrics: dict[str, dict[str, dict[str, float]]] = {who: {} for who in chances}
    difference: dict[str, dict[str, dict[str, float]]] = {}
    rng = np.random.default_rng(1)
    _, owner = np.unique(shoppers, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(owner))[:-1])
    for name, column in zip(names, columns, strict=True):
        came = truth[:, column]
        for who, some in chances.items():
            metrics[who][name] = action_metrics(came, some[:, column])
        resampled = []
        for _ in range(_RESAMPLES):
            drawn = np.concatenate(
                [groups[at] for at in rng.integers(len(groups), size=len(groups))]
            )
            both = [
                action_metrics(came[drawn], chances[who][drawn, column])
                for who in ("model", "logistic")
            ]
            resampled.append([both[0][one] - both[1][one] for one in _METRICS])
        low, high = np.nanquantile(np.array(resampled), [0.025, 0.975], axis=0)
        difference[name] = {
            one: {
                "mean": metrics["model"][name][one] - metrics["logistic"][name][one],
                "low": float(low[at]),
                "high": float(high[at]),
            }
            for at, one in enumerate(_METRICS)
        }
    return {"metrics": metrics, "difference": difference}


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['cases']:,} moments after 80 % of the events, {result['learned']:,} learned "
        f"from; left out {result['open_visits']:,} whose visit may have gone on and "
        f"{result['same_moment']:,} with the next event at the same time",
        f"  {'':<10}{'':<10}{'happens':>9}{'auc':>8}{'pr-auc':>8}{'brier':>8}{'ece':>8}",
    ]
    for name in result["difference"]:
        for who, metrics in result["metrics"].items():
            some = metrics[name]
            cells = "".join(f"{some[one]:>8.4f}" for one in _METRICS)
            lines.append(f"  {name:<10}{who:<10}{some['base_rate']:>9.3f}{cells}")
        some = result["difference"][name]["auc"]
        lines.append(
            f"  {name:<10}auc of the model minus logistic: {some['mean']:+.4f}, "
            f"95 % {some['low']:+.4f} to {some['high']:+.4f}"
        )
    lines += [
        f"  {name}: not possible here, no such event; events.types names a shop's own words"
        for name in result["not_possible"]
    ]
    return "\n".join(lines)
