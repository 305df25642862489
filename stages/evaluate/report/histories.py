"""Training curves from the stages' histories."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from stages.core.artifacts.histories import HISTORY
from stages.core.artifacts.models import read_model_card
from stages.core.artifacts.shards import ARTIFACTS, MANIFEST, contract_name, read_json
from stages.evaluate.report.charts import Line, line_chart

_STAGES = ("pretrain", "attend", "pseudolabel", "finetune")
_AXES = ("epoch", "iteration", "step")
_POINTS = 160
_TITLES = {
    "lr": "learning rate",
    "grad_norm": "norm of the gradients",
    "code_entropy": "entropy of the codes (nats)",
    "prototype_use": "use of the prototypes (1 all alike, 0 one alone)",
    "embedding_std": "spread of the embeddings (0 collapsed)",
}
"""What a column of the history says; others speak for themselves."""


class TrainingCurves(NamedTuple):
    """The curves of one stage."""

    stage: str
    method: str
    charts: list[tuple[str, Markup]]
    """Name of the quantity, and its chart."""


def draw_training_curves(root: Path = ARTIFACTS) -> list[TrainingCurves]:
    """One chart per column of each stage's history.csv; stages that did not train are left out."""
    drawn = []
    for stage in _STAGES:
        if (root / stage / HISTORY).exists() and (columns := _read_history(root / stage / HISTORY)):
            method = _method_of(stage, root)
            drawn.append(TrainingCurves(stage, method, _draw(columns)))
    # A stage that passes a model on carries its history too.
    return [
        curves
        for number, curves in enumerate(drawn)
        if all(curves.charts != earlier.charts for earlier in drawn[:number])
    ]


def _method_of(stage: str, root: Path) -> str:
    """Who trained: a stage that passes a model on carries the card of the one before."""
    told = read_json(root / stage / MANIFEST)
    return read_model_card(stage, root).method if told["contract"] == contract_name("model") else str(told["method"])


def _read_history(path: Path) -> dict[str, list[float]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]} if len(rows) > 1 else {}


def _draw(columns: dict[str, list[float]]) -> list[tuple[str, Markup]]:
    axis = next((name for name in ("iteration", "step", "epoch") if name in columns), None)
    x = columns[axis] if axis else [float(number) for number in range(len(next(iter(columns.values()))))]
    charts = [
        (name, line_chart([_thin(name, x, y)], axis or "row")) for name, y in columns.items() if name not in _AXES
    ]
    return [(_TITLES.get(name, name), chart) for name, chart in charts if chart]


def _thin(name: str, x: list[float], y: list[float]) -> Line:
    """Mean over equal parts of a long curve."""
    kept = [(a, b) for a, b in zip(x, y, strict=True) if np.isfinite(b)]
    parts = np.array_split(np.array(kept, float).reshape(-1, 2), min(len(kept), _POINTS) or 1)
    means = [part.mean(0) for part in parts if len(part)]
    return Line(name, [float(mean[0]) for mean in means], [float(mean[1]) for mean in means])
