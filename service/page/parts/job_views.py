"""job_views.py: jobs -> their progress, their list, and the words for how they ended."""

import time
from typing import Any

import dash_mantine_components as dmc
from dash import html

from reranker.evaluation.leakage import refused
from service.live.jobs import Job
from service.page.parts.widgets import aria


def progress_view(job: Job, cancel_id: str) -> Any:
    """How far a running job is; the button that ends it."""
    progress = job.progress or {}
    done, total = progress.get("done") or 0, progress.get("total")
    share = 100 * done / total if total else 0
    words = (
        f"{progress['stage']} {done:,} of {total:,}" if total else progress.get("stage", "starting")
    )
    return html.Section(
        [
            html.Div(
                [
                    html.H2(job.title),
                    dmc.Button("Cancel", id=cancel_id, size="compact-xs", variant="default"),
                ],
                className="head",
            ),
            dmc.Progress(
                value=share if total else 100,
                animated=not total,
                striped=not total,
                size="lg",
                **aria(label="progress"),
            ),
            html.Div(f"{words} · {job.seconds:.0f} s", className="quiet small"),
        ],
        className="card progress-card",
    )


def ended_view(job: Job) -> Any:
    """Why there is no result."""
    if job.state == "cancelled":
        return dmc.Alert("It was cancelled before it ended.", title=job.title, variant="light")
    return dmc.Alert(job.error, title=f"{job.title}: failed", variant="light")


def job_list(jobs: list[Job], chosen: str | None, kind: str) -> Any:
    """The newest jobs, to be opened again."""
    if not jobs:
        return html.P("No run yet.", className="quiet small")
    return [
        html.Button(
            [
                html.Span(job.title, className="job-title"),
                html.Span(f"{job.state} · {_ago(job.began)}", className="quiet small"),
            ],
            id={"job": job.id, "of": kind},
            className="job chosen" if job.id == chosen else "job",
        )
        for job in jobs[:12]
    ]


def _ago(began: float) -> str:
    minutes = (time.time() - began) / 60
    if minutes < 1:
        return "just now"
    return f"{minutes:.0f} min ago" if minutes < 90 else f"{minutes / 60:.0f} h ago"


def warnings_of(result: dict[str, Any]) -> list[Any]:
    """What is odd about the requests of a result, and which were refused as leaks."""
    lines = [*refused(result.get("leaks_by") or {}), *(result.get("warnings") or [])]
    return [dmc.Alert(line, variant="light", color="yellow") for line in lines]
