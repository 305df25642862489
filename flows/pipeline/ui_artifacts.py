"""What a run shows in the Prefect UI: progress, a table of its stages, scores beside the previous ones, pictures."""

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

from flows.server.connection import server_answers
from flows.workspace.monitor import Progress
from flows.workspace.scores import Scores, compare_scores, read_scores

RESULTS = Path("artifacts/evaluate")

_UPDATE_INTERVAL = 2.0
_MOST_OVERLAYS = 8


class ProgressArtifact:
    """The progress of a stage in the Prefect UI; without a server nothing is shown and the stage goes on."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._artifact: UUID | None = None
        self._last = -_UPDATE_INTERVAL

    def update(self, progress: Progress) -> None:
        """Show the progress, at most every two seconds and at the end."""
        if time.monotonic() - self._last >= _UPDATE_INTERVAL or progress.percent == 100:
            self._last = time.monotonic()
            publish(lambda: self._publish(progress))

    def _publish(self, progress: Progress) -> None:
        if self._artifact is None:
            made = create_progress_artifact(progress.percent, f"progress-{self._stage}", progress.text)
            self._artifact = cast(UUID, made)
        else:
            update_progress_artifact(self._artifact, progress.percent, progress.text)


def publish(make: Callable[[], object]) -> None:
    """Call what creates a Prefect artifact; does nothing where the server does not answer."""
    if not server_answers():
        return
    try:
        make()
    except Exception as error:
        get_run_logger().warning(f"An artifact is missing in the UI: {error}")


def publish_stages(states: Mapping[str, State[Any]], seconds: Mapping[str, float]) -> None:
    """Publish the table of stages with their states and seconds."""
    rows = [
        {"stage": name, "state": state.name, "seconds": f"{seconds[name]:.1f}" if name in seconds else ""}
        for name, state in states.items()
    ]
    publish(lambda: create_table_artifact(rows, "stages", "What became of each stage"))


def publish_results(before: Scores) -> None:
    """Publish the scores beside the previous ones, and photographs with their predicted categories."""
    if rows := compare_scores(before, read_scores()):
        publish(lambda: create_table_artifact(rows, "scores", "Scores in percent, beside those before this run"))
    if pictures := sorted((RESULTS / "overlays").glob("*"))[:_MOST_OVERLAYS]:
        publish(lambda: create_markdown_artifact(_gallery(pictures), "overlays", "Photographs with their categories"))


def publish_comparison(rows: list[dict[str, Any]], key: str, description: str) -> None:
    """Publish the table of a sweep or a benchmark."""
    publish(lambda: create_table_artifact(rows, key, description))


def _gallery(pictures: list[Path]) -> str:
    # The UI shows pictures inside markdown; its image artifact would need them on a web server.
    shown = [f"### {picture.stem}\n\n![{picture.stem}]({_data_uri(picture)})" for picture in pictures]
    return "\n\n".join([f"All of them, charts and tables: `{RESULTS / 'report.html'}`", *shown])


def _data_uri(picture: Path) -> str:
    kind = "jpeg" if picture.suffix == ".jpg" else picture.suffix.removeprefix(".")
    return f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"
