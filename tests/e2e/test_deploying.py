"""What the deployment examples promise exists: files, flags, settings, routes; and they parse."""

import json
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from support.paths import ROOT
from support.service import BODY, serving

from indexes.release import VERSION
from reranker.privacy.folders import open_to_others
from reranker.pseudonyms.keys import PseudonymKeys
from service.commands.cli import cli
from service.settings import known_settings

DEPLOY = ROOT / "docs" / "deploy"
UNIT = (DEPLOY / "reranker.service").read_text()
IMAGES = [DEPLOY / "Containerfile", DEPLOY / "Containerfile.rebuild"]
DOCUMENTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
POD = DOCUMENTS[1]["spec"]["template"]["spec"]


def container(name: str) -> dict[str, Any]:
    every = [*POD["containers"], *POD["initContainers"]]
    return next(one for one in every if one["name"] == name)


def check_command(words: list[str]) -> None:
    """The words after `reranker`: a command of ours with flags that it knows."""
    context = click.Context(cli)
    command = cli.get_command(context, words[0])
    assert command is not None, words
    known = {flag for option in command.params for flag in option.opts}
    flags = {word for word in words if word.startswith("--")}
    assert flags <= known, flags - known


def check_variable(name: str) -> None:
    there = {setting.variable for setting in known_settings().values()}
    assert name in there | {"RERANKER_HOME", "RERANKER_PORT", "RERANKER_HOST"}, name


def test_every_setting_in_the_examples_exists() -> None:
    for path in DEPLOY.iterdir():
        for name in re.findall(r"\bRERANKER_[A-Z_]+", path.read_text()):
            check_variable(name)


def test_every_command_in_the_examples_exists() -> None:
    start = re.search(r"^ExecStart=\S+/reranker (.*)$", UNIT, re.M)
    assert start
    check_command(shlex.split(start[1]))
    for path in IMAGES:
        command = re.search(r"^CMD (.*)$", path.read_text(), re.M)
        assert command
        check_command(json.loads(command[1]))
    for name in ("rebuild", "reranker"):
        check_command(container(name)["args"])


def test_the_unit_is_hardened_and_waits_longer_than_the_drain() -> None:
    values = dict(re.findall(r"^(\w+)=(.*)$", UNIT, re.M))
    assert values["ProtectSystem"] == "strict" and values["DynamicUser"] == "yes"
    assert values["ReadWritePaths"] == "/var/lib/reranker"
    grace = known_settings()["serve.grace_seconds"].default
    assert int(values["TimeoutStopSec"]) > grace + 5
    assert int(POD["terminationGracePeriodSeconds"]) > grace + 5 + 5  # and preStop


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "reranker"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "reranker.service"
    unit.write_text(UNIT.replace("/opt/reranker/bin/reranker", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )
    about_it = [line for line in done.stderr.splitlines() if "reranker" in line]
    assert not about_it, done.stderr


def test_images_install_what_exists_and_do_not_run_as_root() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    for path in IMAGES:
        text = path.read_text()
        for names in re.findall(r'"/src\[([a-z,]+)\]"', text):
            assert set(names.split(",")) <= extras
        for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
            for name in source.split():
                assert (ROOT / name).exists(), name
        assert re.search(r"^USER 10001$", text, re.M)
        assert "libgomp1" in text  # LightGBM's
    serving = IMAGES[0].read_text()
    assert {"page", "tune"} <= set(re.findall(r"\w+", serving))
    assert not {"torch", "encode", "train"} & set(re.findall(r"\w+", serving.split("FROM", 1)[1]))
    version = re.search(r"torch==([\d.]+)", IMAGES[1].read_text())
    assert version and f"torch=={version[1]}" in (ROOT / "constraints.txt").read_text()


def test_what_serving_imports_is_what_an_install_without_extras_brings() -> None:
    """A serving image has no extra but tune; LightGBM is asked for only by a blend of trees."""
    code = (
        "import sys, json; from importlib.metadata import packages_distributions as names; "
        "import service.server.gunicorn, service.app; "
        "import service.commands.doctor, reranker.commands.shadows; "
        "tops = {name.split('.')[0] for name in sys.modules}; "
        "tops -= {'indexes', 'reranker', 'service'}; known = names(); "
        "print(json.dumps([known[top] for top in tops if top in known]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = {names[0].lower().replace("_", "-") for names in json.loads(done.stdout)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split("[<>=]", one)[0] for one in project["dependencies"]}
    brought = wanted | {"werkzeug", "jinja2", "markupsafe", "itsdangerous", "blinker", "packaging"}
    brought |= {"charset-normalizer", "typing-extensions"}  # others take them where they are there
    assert found - {"setuptools"} <= brought, found - brought


def test_the_pod_has_probes_limits_and_a_read_only_root() -> None:
    assert POD["securityContext"]["runAsNonRoot"]
    reranker = container("reranker")
    for name in ("reranker", "rebuild"):
        locked = container(name)["securityContext"]
        assert locked["readOnlyRootFilesystem"] and not locked["allowPrivilegeEscalation"]
    for probe, route in (("startup", "readyz"), ("readiness", "readyz"), ("liveness", "livez")):
        code = reranker[f"{probe}Probe"]["exec"]["command"][-1]
        assert f"http://127.0.0.1:8000/{route}" in code
        compile(code, probe, "exec")
    assert reranker["resources"]["limits"]["memory"]
    volumes = {volume["name"] for volume in POD["volumes"]}
    mounts = {mount["name"] for mount in reranker["volumeMounts"]}
    assert mounts <= volumes


def test_images_are_named_by_this_machine_and_release_and_never_pulled() -> None:
    """Also what the page tells to build and run."""
    page = (ROOT / "docs" / "deploying.md").read_text()
    names = {f"localhost/shop-reranker{kind}:{VERSION}" for kind in ("", "-rebuild")}
    for path, name in zip(IMAGES, sorted(names, key=len), strict=True):
        build = f"podman build -f docs/deploy/{path.name} -t {name} ."
        assert build in path.read_text() and build in page
        (run,) = re.findall(rf"^podman run .* {name} (.*)$", page, re.M)
        check_command(shlex.split(run))
    for container_name in ("rebuild", "reranker"):
        assert container(container_name)["image"] in names
        assert container(container_name)["imagePullPolicy"] == "Never"


def test_a_build_is_sent_only_what_it_copies() -> None:
    ignored = (ROOT / ".containerignore").read_text()
    assert (ROOT / ".dockerignore").read_text() == ignored  # Docker reads only the one of this name
    lines = [line for line in ignored.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        name
        for path in IMAGES
        for names in re.findall(r"^COPY (?!--from)(.*) \S+$", path.read_text(), re.M)
        for name in names.split()
    }
    assert let_in == copied


def test_a_volume_that_was_opened_to_a_group_is_served_and_its_keys_are_closed(
    own_home: Path,
) -> None:
    """As the kubelet does for fsGroup: on a new volume here, on every one with another policy."""
    security = POD["securityContext"]
    assert security["fsGroup"] == security["runAsGroup"] == security["runAsUser"] == 10001
    assert security["fsGroupChangePolicy"] == "OnRootMismatch"
    PseudonymKeys(own_home).open()
    for path in (own_home, *own_home.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))
    with serving(own_home) as service:
        assert service.ask("/rerank", BODY)[0] == 200
    secret = own_home / "pseudonyms" / "keys"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert not list(open_to_others(own_home))


def test_prometheus_scrapes_what_is_there() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    port = known_settings()["serve.port"].default
    assert job["static_configs"][0]["targets"] == [f"127.0.0.1:{port}"]


def test_the_alerts_are_yaml_with_expressions() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    block = re.search(r"```yaml\n(.*?)```", page, re.S)
    assert block
    (group,) = yaml.safe_load(block[1])["groups"]
    assert all(rule["expr"] and rule["alert"].startswith("Reranker") for rule in group["rules"])
