"""user_counts.py: who met what -> what enough different shoppers have met."""

import numpy as np

from indexes.storage.arrays import Ints


def met_by(things: Ints, shoppers: Ints, least: int) -> Ints:
    """Those of these things (n,) that at least so many different shoppers (n,) met, in order."""
    order = np.lexsort((shoppers, things))
    things, shoppers = things[order], shoppers[order]
    new = np.ones(len(things), bool)
    new[1:] = (things[1:] != things[:-1]) | (shoppers[1:] != shoppers[:-1])
    found, users = np.unique(things[new], return_counts=True)
    return found[users >= least]
