"""Evaluator of the coherence of the pretrained network's pixels on every scored split; see `coherence.py`."""

from __future__ import annotations

from stages.evaluate import Config
from stages.evaluate.evaluators.evaluator import Evaluator, EvaluatorResult
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.evaluation import Evaluation


def _measure(config: Config, inputs: Inputs, evaluation: Evaluation) -> EvaluatorResult[None]:
    from stages.evaluate.evaluators.coherence import measure_coherence

    if config.coherence is None:
        return EvaluatorResult({}, None)
    scores = {
        split: measure_coherence(inputs, split, config.coherence, config.ignore_id)._asdict()
        for split in evaluation.splits
    }
    return EvaluatorResult(scores, None)


COHERENCE = Evaluator(
    name="coherence",
    needs=("pretrain",),
    measures=("cat_cos", "view_cos"),
    is_wanted=lambda config: config.coherence is not None,
    measure=_measure,
)
