"""part_ray.py: a catalogue -> its parts, each encoded by a process that Ray has found a place for.

Ray only schedules. Its own readers split lines at U+2028 and fail where a column has two types, and
two of its workers on two cores starve whoever reads; so a task is one process that reads the file
itself, on one processor, in the background's priority. Ray's usage statistics stay off.
"""

import os
import sys
from pathlib import Path
from typing import Any

from indexes.build.part_processes import part_failed, part_jobs, run_part
from indexes.errors import Failure
from indexes.progress import Progress
from indexes.workspace import Workspace


def encode_on_ray(
    workspace: Workspace,
    source: Path,
    folder: Path,
    address: str,
    count: int | None,
    progress: Progress,
    *,
    encoding: str | None = None,
    besides: Path | None = None,
) -> None:
    """Encode all parts on the cluster at an address; Failure where one fails.

    count: of parts; None: as many as the cluster has processors. Source and folder have to be on a
    file system that its machines share.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise Failure(
            "--ray needs the package ray, which is not installed.",
            hint="pip install ray, here and on the cluster; or use --processes.",
        ) from None
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise Failure(
            f"--ray {address}: no cluster answers there: {error}.",
            hint='Start one with `ray start --head`, or name it: "auto", "ray://host:10001".',
        ) from None
    try:
        _schedule(ray, workspace, source, folder, count, progress, encoding, besides)
    finally:
        ray.shutdown()


def _schedule(
    ray: Any,
    workspace: Workspace,
    source: Path,
    folder: Path,
    count: int | None,
    progress: Progress,
    encoding: str | None,
    besides: Path | None,
) -> None:
    parts = count or max(1, int(ray.cluster_resources().get("CPU", 1)))
    paths = os.pathsep.join(path for path in sys.path if path)
    task = ray.remote(num_cpus=1, max_retries=2)(run_part)
    jobs = part_jobs(workspace, source, folder, parts, 1, encoding, besides)
    waiting = [task.remote(job, paths) for job in jobs]
    with progress("parts", parts) as advance:
        while waiting:
            ended, waiting = ray.wait(waiting)
            for last_words in ray.get(ended):
                if last_words:
                    raise part_failed(last_words)
                advance(1)
