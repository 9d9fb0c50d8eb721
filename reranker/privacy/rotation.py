"""rotation.py: a home -> the same under a new key: what is kept is re-keyed, nobody is lost.

Killed at any moment it leaves a home that works: names of every generation are found. The next
process that opens the histories does the rest of those, the next run that of the rankings.
"""

import time
from contextlib import closing

import msgspec

from indexes.storage.locks import exclusive
from indexes.workspace import Workspace
from reranker.attributes.attributes import Attributes
from reranker.feedback.files import rankings_folder, rename_in_rankings
from reranker.feedback.logged_shopper import SETTLE
from reranker.histories.store import open_histories
from reranker.pseudonyms.keys import PseudonymKeys


class Rotated(msgspec.Struct, frozen=True):
    """What was re-keyed. generation: how many keys there are now. torn: lines of rankings that
    broke off within a name and are deleted: nobody could be recognised in them any more."""

    generation: int
    shoppers: int
    rankings: int
    torn: int = 0


def rotate(workspace: Workspace) -> Rotated:
    """Make a key and re-key histories and logged rankings by it; LockHeld beside another one."""
    keys = PseudonymKeys(workspace.home)
    keys.open()
    with closing(open_histories(workspace)) as histories:
        histories.mend()  # which opening leaves to be tried again where it fails
        with exclusive(keys.folder / "rotation.lock", "rotate"):
            names = keys.add()
            shoppers = histories.rename(names)
            Attributes(workspace.home).rename(names)
            folder = rankings_folder(workspace)
            renamed, torn = rename_in_rankings(folder, names)
            if folder.is_dir():
                time.sleep(SETTLE)  # what a service had hashed before it saw the new key
                more_renamed, more_torn = rename_in_rankings(folder, names)
                renamed, torn = renamed + more_renamed, torn + more_torn
    return Rotated(names.generation, shoppers, renamed, torn)
