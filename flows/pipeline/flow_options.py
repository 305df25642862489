"""What all flows have in common."""

from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from flows.pipeline.cancellation import cancel_rather_than_crash

_MOST_TASKS = 128
"""Threads; a task that waits for another one holds one."""

FLOW: dict[str, Any] = {
    "task_runner": ThreadPoolTaskRunner(max_workers=_MOST_TASKS),
    "persist_result": False,
    "on_crashed": [cancel_rather_than_crash],
}
"""Options of a flow."""
