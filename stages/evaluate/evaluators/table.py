"""The table of evaluators: one more is a file beside this and a line here."""

from __future__ import annotations

from typing import Any

from stages.core.artifacts.shards import ARTIFACTS, MANIFEST, read_json
from stages.evaluate import Config
from stages.evaluate.evaluators.checks import CHECKS
from stages.evaluate.evaluators.clustering import CLUSTERING
from stages.evaluate.evaluators.coherence_protocol import COHERENCE
from stages.evaluate.evaluators.evaluator import Evaluator, EvaluatorResults
from stages.evaluate.evaluators.neighbor_protocol import NEIGHBORS
from stages.evaluate.evaluators.object_protocol import OBJECTS
from stages.evaluate.evaluators.predictions import PREDICTIONS
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.evaluation import Evaluation

EVALUATORS: tuple[Evaluator[Any], ...] = (
    CLUSTERING,
    PREDICTIONS,
    OBJECTS,
    COHERENCE,
    NEIGHBORS,
    CHECKS,
)
"""In the order of their scores in metrics.json."""


def wanted_evaluators(config: Config) -> list[Evaluator[Any]]:
    """Those that the section of params.yaml asks for.

    Raises:
        UserError: An artifact that one of them needs is missing.
    """
    wanted = [each for each in EVALUATORS if each.is_wanted(config)]
    for name in dict.fromkeys(name for each in wanted for name in each.needs):
        read_json(ARTIFACTS / name / MANIFEST)
    return wanted


def measure_all(
    wanted: list[Evaluator[Any]], config: Config, inputs: Inputs, evaluation: Evaluation
) -> EvaluatorResults:
    """Run the wanted evaluators one after the other."""
    return EvaluatorResults({each.name: each.measure(config, inputs, evaluation) for each in wanted})


def label_uses(config: Config) -> list[str]:
    """How the wanted evaluators use labels, apart from comparing with them."""
    return [each.uses_labels for each in EVALUATORS if each.uses_labels and each.is_wanted(config)]
