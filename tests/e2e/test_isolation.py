"""What a machine may refuse: a network, root, a writable disk. And what data may not do."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT
from support.shop import copy_home, small_shop, write_items

from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import load_encoder
from indexes.errors import Failure

HOOK = """
import os, sys
def note(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
                 "socket.gethostbyname", "os.system", "os.exec", "os.posix_spawn",
                 "subprocess.Popen", "pickle.find_class", "marshal.loads"):
        if event == "marshal.loads":
            return
        shown = repr(args[1] if event.startswith("socket.") and event[7] in "cs" else args)[:200]
        with open(os.environ["SEEN"], "a") as file:
            file.write(f"{event} {shown}\\n")
sys.addaudithook(note)
"""
# Serves, asks every kind of thing, rebuilds, asks again; inside a network of its own.
LIFE = """
import fcntl, json, os, re, signal, socket, struct, subprocess, sys, urllib.request
home, items = sys.argv[1:3]
try:
    lo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(lo, 0x8914, struct.pack("16sh", b"lo", 1))
except OSError as error:
    print("loopback:", error, file=sys.stderr)
env = {**os.environ, "PYTHONPATH": sys.argv[3] + os.pathsep + os.environ["PYTHONPATH"]}
program = [sys.executable, "-c", "from service.commands.cli import main; main()", "--home", home]
service = subprocess.Popen([*program, "serve", "--port", "0"], env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
try:
    first = service.stdout.readline()
    address = re.search(r"http://127.0.0.1:\\d+", first)
    if not address:
        sys.exit(f"not started: {first} {service.communicate(timeout=180)}")
    def ask(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(address[0] + path, data, timeout=180) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
    event = {"user": "u", "type": "view", "item": "1", "time": "2026-11-01T00:00:00Z"}
    body = {"query": "red shoes", "user": "u", "candidates": [{"id": "1"}, {"id": "2"},
            {"id": "new", "text": "blue lamp"}]}
    found = {"rerank": ask("/rerank", body), "events": ask("/events", event), "page": ask("/")[0],
             "ready": ask("/readyz")[0], "metrics": ask("/metrics")[0]}
    if items:
        done = subprocess.run([*program, "rebuild", "--items", items, "--json"], env=env,
                              capture_output=True, text=True)
        found["rebuild"] = done.returncode, done.stderr[-300:]
finally:
    service.send_signal(signal.SIGTERM)
    _, err = service.communicate(timeout=180)
print(json.dumps(found | {"stderr": err[-2000:]}))
"""


def permitted(*command: str) -> None:
    done = subprocess.run([*command, "true"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{' '.join(command)} is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def hook(tmp_path: Path) -> Path:
    folder = tmp_path / "hook"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HOOK)
    return folder


def clean(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RERANKER")}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | variables


def seen(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.promise(27)
def test_serving_without_a_network(own_home: Path, tmp_path: Path, hook: Path) -> None:
    _without_a_network(own_home, tmp_path, hook, rebuild=False)


@pytest.mark.heavy
@pytest.mark.promise(27)
def test_rebuilding_without_a_network(own_home: Path, tmp_path: Path, hook: Path) -> None:
    _without_a_network(own_home, tmp_path, hook, rebuild=True)


def _without_a_network(own_home: Path, tmp_path: Path, hook: Path, rebuild: bool) -> None:
    permitted("unshare", "-rn")
    items = write_items(tmp_path / "items.jsonl", small_shop()[:50] + [
        {"id": "fresh", "title": "Something that was not encoded before"}
    ])  # fmt: skip
    done = subprocess.run(
        [
            "unshare",
            "-rn",
            sys.executable,
            "-c",
            LIFE,
            str(own_home),
            str(items) if rebuild else "",
            str(hook),
        ],
        env=clean(SEEN=str(tmp_path / "seen")),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rerank"][0] == found["events"][0] == found["page"] == found["ready"] == 200
    assert not rebuild or found["rebuild"][0] == 0, found["rebuild"]
    events = seen(tmp_path / "seen")
    assert [one for one in events if one.startswith("socket.getaddrinfo")]  # the hook was there
    for one in events:
        name, _, args = one.partition(" ")
        if name in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            assert "127.0.0.1" in args or args.startswith(("'", "b'")), one  # or a local socket
        if name in ("socket.getaddrinfo", "socket.gethostbyname"):
            assert "'127.0.0.1'" in args or "'localhost'" in args, one


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """One that other users can reach, too."""
    folder = Path(tempfile.mkdtemp(prefix="reranker-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.promise(27)
@pytest.mark.parametrize("home_is", ["writable", "read-only"])
def test_serving_as_nobody_on_a_read_only_disk(
    shop_home: Path, public_folder: Path, home_is: str
) -> None:
    if os.geteuid():
        pytest.skip("not permitted here: only root can become nobody")
    permitted("unshare", "-m")
    permitted("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    home, temporary = public_folder / "home", public_folder / "tmp"
    shutil.copytree(shop_home, home, symlinks=True, ignore=shutil.ignore_patterns("rankings"))
    temporary.mkdir()
    for path in [home, *home.rglob("*")]:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    writable = f"mount --bind {home} {home} &&" if home_is == "writable" else ""
    script = (
        f"set -e; mount --make-rprivate /; {reachable_python(public_folder)}"
        f"mount -t tmpfs -o mode=1777 tmpfs {temporary}; {writable}"
        " mount -o remount,bind,ro /; "
        "awk '$2 ~ \"^/(tmp|work|home|var|root)\" {print $2}' /proc/mounts | "
        f"while read point; do case $point in {temporary}|{home}) ;; "
        "*) mount -o remount,bind,ro $point;; esac; done; "
        f"if touch {public_folder}/x 2>/dev/null; then echo still writable >&2; exit 9; fi; "
        'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", LIFE, str(home), "", ""],
        env=clean(TMPDIR=str(temporary), HOME="/nonexistent", PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rerank"][0] == found["ready"] == found["metrics"] == 200, found
    assert len(json.loads(found["rerank"][1])["results"]) == 3
    assert found["events"][0] == (200 if home_is == "writable" else 503), found["events"]
    assert "Traceback" not in found["stderr"], found["stderr"]


def reachable_python(folder: Path) -> str:
    """Where this Python lies in somebody's own folder, mount it so that nobody can run it, too."""
    base = Path(sys.base_prefix).resolve()
    closed = [one for one in base.parents if not one.stat().st_mode & 0o001]
    if not closed:
        return ""
    aside = folder / "python"
    aside.mkdir()
    return (
        f"mount --bind {base} {aside}; mount -t tmpfs -o mode=755 tmpfs {closed[-1]}; "
        f"mkdir -p {base}; mount --bind {aside} {base}; "
    )


class Bomb:
    """Whoever unpickles it runs a program."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


COMMANDS = """
import json, sys
from service.commands.cli import run
print(json.dumps([run(args) for args in json.loads(sys.argv[1])]))
"""


@pytest.mark.promise(26)
def test_no_code_runs_from_data(own_home: Path, tmp_path: Path, hook: Path) -> None:
    """A pickle as every kind of file that a command or the service reads."""
    marker = tmp_path / "it-ran"
    bomb = pickle.dumps(Bomb(marker))
    yaml = f"!!python/object/apply:os.system ['touch {marker}']\n".encode()
    homes = []
    for number, name in enumerate(("settings.toml", "keys/keys.json", "index", "blends", "model")):
        home = copy_home(own_home, tmp_path / f"home{number}")
        plant(home, name, bomb)
        homes.append(home)
    files = []
    for suffix in ("jsonl", "jsonl.gz"):
        files.append(tmp_path / f"bomb.{suffix}")
        files[-1].write_bytes(bomb)
    files.append(tmp_path / "bomb.yaml")
    files[-1].write_bytes(yaml)
    base = ["--home", str(own_home)]
    commands = [
        *(["--home", str(home), "index", "verify"] for home in homes),
        *(["--home", str(home), "keys", "list"] for home in homes[:2]),
        *(["--home", str(home), "blends", "list"] for home in homes),
        *([*base, "rebuild", "--items", str(file)] for file in files),
        *([*base, "events", "import", str(file)] for file in files),
        *([*base, "blends", "import", str(file)] for file in files),
        *([*base, "evaluate", "--requests", str(file)] for file in files[:1]),
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        env=clean(SEEN=str(tmp_path / "seen"), PYTHONPATH=f"{hook}{os.pathsep}{ROOT}"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    statuses = json.loads(done.stdout.splitlines()[-1])
    failed = [command for command, status in zip(commands, statuses, strict=True) if status]
    assert len(failed) >= 3 * len(files) and "Traceback" not in done.stderr
    assert not marker.exists()
    assert not [one for one in seen(tmp_path / "seen") if one.startswith(("os.system", "pickle"))]


def plant(home: Path, name: str, bomb: bytes) -> None:
    """One file, or every file of a version, replaced by a pickle; each anew, not the link."""
    path = home / name
    if path.suffix:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bomb)
        return
    for file in list(path.rglob("*")) if path.is_dir() else []:
        if file.is_file() and not file.is_symlink() and file.name != "lock":
            file.parent.chmod(0o755)
            file.unlink()
            file.write_bytes(bomb)


@pytest.mark.promise(26)
@pytest.mark.parametrize("code", [False, True])
def test_a_model_of_pickles_or_with_code_is_not_loaded(tmp_path: Path, code: bool) -> None:
    marker = tmp_path / "it-ran"
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(marker)))
    config: dict[str, Any] = {"model_type": "bert"}
    if code:
        config |= {"model_type": "evil", "auto_map": {"AutoModel": "evil.Model"}}
        (folder / "evil.py").write_text(f"import os\nos.system('touch {marker}')\n")
        modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Model"}]
        (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(Failure, match="never run" if code else "pickle, which can run code"):
        load_encoder(EncoderSettings(model=str(folder)))
    assert not marker.exists()


def test_the_bomb_is_one(tmp_path: Path) -> None:
    """What the test above plants does go off where somebody unpickles it."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "it-ran")))
    assert (tmp_path / "it-ran").exists()


def test_libraries_report_nothing() -> None:
    """The hub library asks for a version and counts uses unless it is told not to."""
    code = (
        "import indexes.encoders.models, os\n"
        "assert os.environ['HF_HUB_DISABLE_TELEMETRY'] == '1'\n"
        "from huggingface_hub import constants\nassert constants.HF_HUB_DISABLE_TELEMETRY\n"
    )
    subprocess.run([sys.executable, "-c", code], env=clean(), check=True)
