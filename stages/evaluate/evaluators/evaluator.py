"""The type of an evaluator, which measures something for metrics.json and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from stages.evaluate import Config
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.evaluation import Evaluation

Detail = TypeVar("Detail")


class EvaluatorResult(NamedTuple, Generic[Detail]):
    """Scores of one evaluator, and details for the report."""

    scores: Mapping[str, Mapping[str, float]]
    """By split and name, mostly in percent, as they stand in metrics.json; under `checks` what is no score."""
    detail: Detail
    """What the report shows of it beside the scores; None if it shows nothing else."""


class Evaluator(NamedTuple, Generic[Detail]):
    """A measurement that `evaluate` can make."""

    name: str
    needs: tuple[str, ...]
    """Artifacts that it reads beside the index, the clusters, the predictions and the segmenter's card."""
    measures: tuple[str, ...]
    """Its main scores, which are printed at the end of a run; metrics.json may hold more."""
    is_wanted: Callable[[Config], bool]
    """Whether the section of params.yaml asks for it."""
    measure: Callable[[Config, Inputs, Evaluation], EvaluatorResult[Detail]]
    """Imports what is slow to load when it is called."""
    uses_labels: str = ""
    """How labels enter what it predicts, not only what predictions are compared with; empty if they do not."""


class EvaluatorResults(dict[str, EvaluatorResult[Any]]):
    """Results of all configured evaluators by name, in the order of their scores in metrics.json."""

    def detail(self, evaluator: Evaluator[Detail]) -> Detail | None:
        """An evaluator's detail for the report; None if it was not configured."""
        found: EvaluatorResult[Detail] | None = self.get(evaluator.name)
        return None if found is None else found.detail
