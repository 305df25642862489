"""What a run shows in the UI: rings of progress, the table of its stages, scores beside those before, pictures."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.schemas.objects import State

from flows.server.connection import answers
from flows.workspace.monitor import Progress
from flows.workspace.scores import Scores, compare_scores, read_scores

RESULTS = Path("artifacts/evaluate")

_RING_INTERVAL = 2.0
_MOST_OVERLAYS = 8


class ProgressRing:
    """A ring beside a stage's bar; a server that does not answer costs the ring, never the stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._artifact: UUID | None = None
        self._last = -_RING_INTERVAL

    def show(self, progress: Progress) -> None:
        """Move the ring, at most every two seconds and at the end."""
        if time.monotonic() - self._last >= _RING_INTERVAL or progress.percent == 100:
            self._last = time.monotonic()
            publish(lambda: self._move(progress))

    def _move(self, progress: Progress) -> None:
        if self._artifact is None:
            made = create_progress_artifact(progress.percent, f"progress-{self._stage}", progress.text)
            self._artifact = cast(UUID, made)
        else:
            update_progress_artifact(self._artifact, progress.percent, progress.text)


def publish(make: Callable[[], object]) -> None:
    """Make an artifact; without a server the run goes on without it."""
    if not answers():
        return
    try:
        make()
    except Exception as error:
        get_run_logger().warning(f"An artifact is missing in the UI: {error}")


def publish_stages(states: Mapping[str, State[Any]], seconds: Mapping[str, float]) -> None:
    """The table of what became of each stage."""
    rows = [
        {"stage": name, "state": state.name, "seconds": f"{seconds[name]:.1f}" if name in seconds else ""}
        for name, state in states.items()
    ]
    publish(lambda: create_table_artifact(rows, "stages", "What became of each stage"))


def publish_results(before: Scores) -> None:
    """The scores beside those before, and photographs with their predicted categories."""
    if rows := compare_scores(before, read_scores()):
        publish(lambda: create_table_artifact(rows, "scores", "Scores in percent, beside those before this run"))
    if pictures := sorted((RESULTS / "overlays").glob("*"))[:_MOST_OVERLAYS]:
        publish(lambda: create_markdown_artifact(_gallery(pictures), "overlays", "Photographs with their categories"))


def publish_comparison(rows: list[dict[str, Any]], key: str, description: str) -> None:
    """The table of a sweep or a benchmark."""
    publish(lambda: create_table_artifact(rows, key, description))


def _gallery(pictures: list[Path]) -> str:
    # The UI shows pictures inside markdown; its image artifact would need them on a web server.
    shown = [f"### {picture.stem}\n\n![{picture.stem}]({_data_uri(picture)})" for picture in pictures]
    return "\n\n".join([f"All of them, charts and tables: `{RESULTS / 'report.html'}`", *shown])


def _data_uri(picture: Path) -> str:
    kind = "jpeg" if picture.suffix == ".jpg" else picture.suffix.removeprefix(".")
    return f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"
