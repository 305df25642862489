"""Options that all Prefect flows of the project share."""

from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from flows.pipeline.cancellation import report_abort_as_cancelled

_MOST_TASKS = 128
"""Threads; a task that waits for another one holds one."""

FLOW: dict[str, Any] = {
    "task_runner": ThreadPoolTaskRunner(max_workers=_MOST_TASKS),
    "persist_result": False,
    "on_crashed": [report_abort_as_cancelled],
}
"""Options of a flow."""
