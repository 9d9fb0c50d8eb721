"""recommend_publishing.py: a training run -> the blend of POST /recommend in its model version."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from reranker.applications.recommendations.recommend_blend import FILE
from reranker.applications.recommendations.recommend_fitting import MOST, Moment, fit_recommend
from reranker.model.card import CARD, NONE, WEIGHTS
from reranker.model_selection.default_model import trial_state
from reranker.model_selection.train import TrainingRun
from reranker.tuning.held_out_requests import events_before


def write_recommend(run: TrainingRun, folder: Path) -> None:
    """Fit on the moments that the run held out, by the trial of what is served in the folder."""
    assert run.trial is not None
    for name in (CARD, WEIGHTS):  # an encoder that is not served must not be counted on
        shutil.copyfile(folder / name, run.trial / name)
    state = trial_state(run.workspace, run.index, run.trial, run.about)
    card = fit_recommend(moments_of(run), state)
    (folder / FILE).write_bytes(msgspec.json.encode(card))


def moments_of(run: TrainingRun) -> Iterator[Moment]:
    """The last item of each moment held out, at most MOST of them, evenly spread."""
    sequences, ends = run.sequences, run.data.held_out.ends
    places = [int(end) - 1 for end in ends[:: -(-len(ends) // MOST)].tolist()]
    for place in places:
        if sequences.items[place] == NONE:
            continue
        [item] = run.index.ids.ids(sequences.items[place : place + 1])
        history = list(events_before(sequences, place, run.index, run.settings.length))
        now = math.nextafter(float(sequences.times[place]), math.inf)
        yield Moment(history, now, item)
