"""Evaluator of the predictions by the configured protocol; the evaluation holds its scores already."""

from __future__ import annotations

from stages.evaluate import Config
from stages.evaluate.evaluators.evaluator import Evaluator, EvaluatorResult
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.evaluation import Evaluation


def _measure(config: Config, inputs: Inputs, evaluation: Evaluation) -> EvaluatorResult[None]:
    """The scores of every split that has masks."""
    scores = {
        split: {name: value for name, value in scored.summary.items() if value is not None}
        for split, scored in evaluation.splits.items()
    }
    return EvaluatorResult(scores, None)


PREDICTIONS = Evaluator(
    name="predictions",
    needs=("predict",),
    measures=("mIoU", "b_mIoU", "F", "accuracy", "pixel_accuracy", "mIoU_optimal"),
    is_wanted=lambda config: True,
    measure=_measure,
)
