"""doctor_machine.py: this machine -> findings on processor, threads, memory, files, clock."""

import os
import resource
import time
from pathlib import Path
from typing import Final

from indexes.kernels.kernels import COMPILED
from indexes.workspace import Workspace
from service.commands.doctor_findings import Finding
from service.http.settings import ServeSettings

CPUINFO: Final = Path("/proc/cpuinfo")
MEMINFO: Final = Path("/proc/meminfo")
_GIB: Final = 1024**3
_WORKER_BYTES: Final = 300 * 1024**2  # private memory of a worker, at most
_FEATURES: Final = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")
_FILES: Final = 1024  # connections, mapped files of two versions, and room
_EARLIEST: Final = 1_735_689_600.0  # 2025: no clock that is set says less
_WATCHED_SECONDS: Final = 0.1


def processor(_workspace: Workspace) -> Finding:
    """Which arithmetic it has."""
    flags = set(CPUINFO.read_text().split()) if CPUINFO.exists() else set()
    present = [name for name in _FEATURES if name in flags]
    if "amx_bf16" in flags or "avx512_bf16" in flags:
        return Finding("processor", "ok", f"{', '.join(present)}: rebuilds use short arithmetic")
    if flags and "avx2" not in flags and "asimd" not in flags:
        do = "Queries encode several times slower; a processor of the last ten years has AVX2."
        return Finding("processor", "warn", "no AVX2", do)
    return Finding(
        "processor",
        "warn",
        f"no unit for short arithmetic ({', '.join(present) or 'features unknown'})",
        "Rebuilds compute in float32, about three times slower; serving is as fast.",
    )


def loops(_workspace: Workspace) -> Finding:
    """Whether the loops of a ranking are compiled; without a compiler numpy serves."""
    if COMPILED:
        return Finding("kernels", "ok", "the loops of a ranking are compiled")
    return Finding(
        "kernels",
        "warn",
        "no compiled loops: numpy ranks instead, the same to 1e-6, and takes longer",
        "Install a C compiler and Python's headers (build-essential, python3-dev), then install "
        "this package again: `make install`, or pip.",
    )


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads(workspace: Workspace) -> Finding:
    """Workers, and the threads that each could take, against the cores."""
    settings, available = workspace.section(ServeSettings), cores()
    message = f"{available} cores, {settings.workers} workers of {settings.threads} threads"
    if settings.workers > available:
        return Finding("threads", "warn", message, f"Set serve.workers to {available} or fewer.")
    if settings.threads > 64:
        do = "More threads answer no faster, they only wait inside: set serve.threads to 4 to 16."
        return Finding("threads", "warn", message, do)
    pools = os.environ.get("OMP_NUM_THREADS", "")
    if pools.isdigit() and int(pools) > available:
        do = f"Unset OMP_NUM_THREADS, or set it to {available} or fewer; it slows rebuilds."
        return Finding("threads", "warn", f"{message}, OMP_NUM_THREADS={pools}", do)
    return Finding("threads", "ok", message)


def memory(workspace: Workspace) -> Finding:
    """What is available against what the workers may take."""
    lines = MEMINFO.read_text().splitlines() if MEMINFO.exists() else []
    kilobytes = next((int(line.split()[1]) for line in lines if line[:13] == "MemAvailable:"), None)
    if kilobytes is None:
        return Finding("memory", "ok", "the system does not say how much is free")
    free = kilobytes * 1024
    workers = workspace.section(ServeSettings).workers
    need = workers * _WORKER_BYTES
    message = f"{free / _GIB:.1f} GiB available, {workers} workers take up to {need / _GIB:.1f}"
    if free < need:
        do = "Set serve.workers lower, or give the machine more memory."
        return Finding("memory", "warn", message, do)
    return Finding("memory", "ok", message)


def open_files(workspace: Workspace) -> Finding:
    """The limit of open files, of which each connection takes one."""
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < _FILES:
        do = f"Run `ulimit -n {min(hard, 65_536)}` before, or set LimitNOFILE= in the systemd unit."
        return Finding("files", "warn", f"at most {limit:,} open files", do)
    return Finding("files", "ok", f"at most {limit:,} open files")


def clock(_workspace: Workspace) -> Finding:
    """Whether the wall clock is set, and runs as the monotonic one does."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(_WATCHED_SECONDS)
    apart = abs((time.time() - wall) - (time.monotonic() - steady))
    do = "Histories are read up to now: set the clock, and keep it with chrony or timesyncd."
    if wall < _EARLIEST:
        return Finding("clock", "fail", time.strftime("it is %Y-%m-%d", time.gmtime(wall)), do)
    if apart > _WATCHED_SECONDS / 2:
        return Finding("clock", "warn", f"it jumped by {apart:.2f} s just now", do)
    return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall)))
