"""doctor_private.py: a home -> findings on the keys of its pseudonyms, and who else can read it."""

from indexes.workspace import Workspace
from reranker.privacy.folders import PRIVATE, open_to_others
from reranker.pseudonyms.keys import PseudonymKeys, read_keys
from service.commands.doctor_findings import Finding


def pseudonyms(workspace: Workspace) -> Finding:
    """Whether the keys are there with which histories and rankings were written."""
    keys = PseudonymKeys(workspace.home)
    if keys.path.exists():
        count = len(read_keys(keys.path))
        return Finding("pseudonyms", "ok", f"{count} {'key' if count == 1 else 'keys'}")
    lost = keys.lost()
    if lost is not None:
        return Finding("pseudonyms", "fail", lost.message, lost.hint or "")
    return Finding("pseudonyms", "ok", "no key was made yet: nothing is kept of anybody")


def private(workspace: Workspace) -> Finding:
    """Whether other accounts of this machine can look into what names shoppers."""
    home = workspace.home
    loose = list(open_to_others(home))
    if not loose:
        return Finding("private", "ok", "what names shoppers is closed to other accounts")
    first = ", ".join(str(path.relative_to(home)) for path in loose[:3])
    more = f" and {len(loose) - 3} more" if len(loose) > 3 else ""
    folders = [name for name in PRIVATE if any((home / name) in (p, *p.parents) for p in loose)]
    do = f"Run `chmod -R go= {' '.join(str(home / name) for name in folders)}`; " + (
        "`reranker serve` does it at its start."
    )
    return Finding("private", "warn", f"others on this machine can read {first}{more}", do)
