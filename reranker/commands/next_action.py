"""next_action.py: `reranker evaluate next-action` on the command line."""

from pathlib import Path
from typing import Any, Final

import click

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from reranker.commands.input_files import InputFile
from reranker.commands.next_item import read_sequences
from reranker.commands.output import echo_result, json_option
from reranker.commands.train_options import with_options
from reranker.events.settings import EventSettings
from reranker.model.settings import ENCODERS, TrainSettings

_TRAINED_SHARE: Final = 0.8  # of all events
_TRAIN_CASES: Final = 40_000
_TEST_CASES: Final = 20_000
_RESAMPLES: Final = 200
_METRICS: Final = ("auc", "pr_auc", "brier", "ece")


class NoActions(Failure):
    """Events of which none is a purchase or a cart."""

    code = "no_purchases"


@click.command("next-action")
@click.option("--events", "source", type=InputFile(), help="Instead of the imported events.")
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
    settings = with_options(workspace, encoder=encoder, minutes=minutes)
    result = evaluate_actions(workspace, settings, source, ids_only)
    echo_result(result, _table(result), as_json)


def evaluate_actions(
    workspace: Workspace, settings: TrainSettings, source: Path | None, ids_only: bool
) -> dict[str, Any]:
    """Train on the first part, ask in the second; the report."""
    import numpy as np

    from reranker.model.card import ACTIONS
    from reranker.model_selection.epoch_logs import epoch_bars, epoch_log
    from reranker.training.actions import (
        Learned,
        action_cases,
        best_learned,
        learned_head,
        model_inputs,
        plain_inputs,
    )
    from reranker.training.data import training_data
    from reranker.training.loop import Training

    sequences, catalogue = read_sequences(workspace, source, ids_only)
    gap = workspace.section(EventSettings).session_minutes
    _check_actions(sequences)
    cutoff = float(np.quantile(sequences.times, _TRAINED_SHARE))
    cases = action_cases(sequences, gap)
    rng = np.random.default_rng(settings.seed)
    train = _sample(rng, np.flatnonzero(cases.ended + gap * 60 < cutoff), _TRAIN_CASES)
    test = _sample(rng, np.flatnonzero(sequences.times[cases.positions] >= cutoff), _TEST_CASES)
    if len(train) < 100 or not len(test):
        raise Failure(
            f"{len(train):,} moments to learn from and {len(test):,} to ask at are too few.",
            hint="Give events of more visits; events.session_minutes says when a visit ends.",
        )
    data = training_data(sequences, catalogue, sequences.limits_at(cutoff), settings)
    with epoch_log(None, lambda line: click.echo(line, err=True)) as on_epoch:
        training = Training(data, settings, progress=epoch_bars, on_epoch=on_epoch)
        trained = training.run()

    def inputs_at(positions: Any) -> dict[str, Any]:
        plain = plain_inputs(sequences, positions, settings.length, gap)
        length = settings.length
        whole = model_inputs(plain, trained.model, training.items, sequences, positions, length)
        return {"model": whole, "logistic": plain}

    train_inputs = inputs_at(cases.positions[train])
    test_inputs = inputs_at(cases.positions[test])
    labels, shoppers = cases.labels[train], cases.shoppers[train]
    positions = cases.positions[train]
    unseen = positions >= data.held_out.limits[shoppers]
    whole, plain = train_inputs["model"], train_inputs["logistic"]
    learned = whole, plain, labels, shoppers, unseen
    best = best_learned(*learned)
    own: Learned = "unseen" if best == "unseen" else "everywhere"
    chances = {
        "model": learned_head(own, *learned)(test_inputs["model"]),
        "logistic": learned_head("logistic", *learned)(test_inputs["logistic"]),
    }
    truth = cases.labels[test]
    possible = [
        at
        for at in range(len(ACTIONS))
        if 0 < truth[:, at].sum() < len(truth) and labels[:, at].any()
    ]
    return {
        "cases": len(test),
        "learned": len(train),
        "open_visits": cases.open_visits,
        "same_moment": cases.same_moment,
        "encoder": settings.encoder,
        "epochs": trained.epochs,
        "shipped": "logistic" if best == "logistic" else "model",
        "head": own,
        **_compared(
            truth, chances, cases.shoppers[test], [ACTIONS[at] for at in possible], possible
        ),
        "not_possible": [name for at, name in enumerate(ACTIONS) if at not in possible],
    }


def _check_actions(sequences: Any) -> None:
    """Failure where neither purchases nor carts are among the events: nothing is to be foreseen."""
    import numpy as np

    from reranker.model.card import ACTIONS, LEAVE
    from reranker.model.next_action import lacking

    names = list(sequences.weights)
    present = {names[number] for number in np.unique(sequences.types).tolist()}
    if present & (set(ACTIONS) - {LEAVE}):
        return
    types = ", ".join(name for name in names if name in present)
    raise NoActions(
        f"The events are of the types {types}: no purchase and no cart is among them, so that "
        "there is no next action to foresee.",
        field="events.types",
        hint=lacking("purchase", names),
    )


def _sample(rng: Any, cases: Any, most: int) -> Any:
    import numpy as np

    return np.sort(rng.permutation(cases)[:most])


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
        for who, of_all in chances.items():
            metrics[who][name] = action_metrics(came, of_all[:, column])
        resampled = []
        for _ in range(_RESAMPLES):
            drawn = np.concatenate(
                [groups[at] for at in rng.integers(len(groups), size=len(groups))]
            )
            both = [
                action_metrics(came[drawn], chances[who][drawn, column])
                for who in ("model", "logistic")
            ]
            resampled.append([both[0][metric] - both[1][metric] for metric in _METRICS])
        low, high = np.nanquantile(np.array(resampled), [0.025, 0.975], axis=0)
        difference[name] = {
            metric: {
                "mean": metrics["model"][name][metric] - metrics["logistic"][name][metric],
                "low": float(low[at]),
                "high": float(high[at]),
            }
            for at, metric in enumerate(_METRICS)
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
            values = metrics[name]
            cells = "".join(f"{values[metric]:>8.4f}" for metric in _METRICS)
            lines.append(f"  {name:<10}{who:<10}{values['base_rate']:>9.3f}{cells}")
        auc = result["difference"][name]["auc"]
        lines.append(
            f"  {name:<10}auc of the model minus logistic: {auc['mean']:+.4f}, "
            f"95 % {auc['low']:+.4f} to {auc['high']:+.4f}"
        )
    lines.append(
        f"  shipped: {result['shipped']}, the better one at earlier moments that the encoder has "
        "not seen"
    )
    lines += [
        f"  {name}: not possible here, no such event; events.types names a shop's own words"
        for name in result["not_possible"]
    ]
    return "\n".join(lines)
