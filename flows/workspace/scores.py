"""Reads the scores of this run and of the one before, and compares them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation", "test")
MAIN_SCORES = ("mIoU", "b_mIoU", "F", "accuracy", "NMI")
"""Those that are shown first."""
METRICS = Path("artifacts/evaluate/metrics.json")

Scores = dict[str, dict[str, Any]]


def read_scores() -> Scores:
    """Scores in the workspace; those of the last commit if there are none, and nothing if there never were."""
    if METRICS.is_file():
        return _parse(METRICS.read_text())
    done = subprocess.run(["git", "show", f"HEAD:./{METRICS}"], capture_output=True, text=True, check=False)
    return _parse(done.stdout) if done.returncode == 0 else {}


def compare_scores(before: Scores, now: Scores) -> list[dict[str, Any]]:
    """One row per split and main score: its value in percent, the value before, and what has changed."""
    rows = []
    for split in SPLITS:
        for name in MAIN_SCORES:
            value, earlier = now.get(split, {}).get(name), before.get(split, {}).get(name)
            if value is not None:
                change = f"{value - earlier:+.2f}" if earlier is not None else ""
                rows.append(
                    {"split": split, "score": name, "now": _show(value), "before": _show(earlier), "change": change}
                )
    return rows


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _parse(text: str) -> Scores:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return {split: content[split] for split in SPLITS if isinstance(content.get(split), dict)}
