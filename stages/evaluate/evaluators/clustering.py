"""How well clusters of whole images agree with the images' categories: mutual information and matched accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.core.artifacts.clusters import Assignments
from stages.core.artifacts.labels import Labels
from stages.core.metrics.counts import Float64
from stages.core.metrics.kernels import Int64
from stages.core.metrics.matching import UNMATCHED, assign, contingency_matrix
from stages.evaluate import Config
from stages.evaluate.evaluators.evaluator import Evaluator, EvaluatorResult
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.evaluation import Evaluation


class Agreement(NamedTuple):
    """Clusters against categories, in percent."""

    nmi: float
    accuracy: float
    match: Int64
    """(clusters,) category of each cluster, counted from 0; -1 for none."""


def compare_clusters(contingency: Int64) -> Agreement:
    """Score clusters of images by the categories that the images are filed under.

    Args:
        contingency: (clusters, categories) images.

    Source: NMI and accuracy on the train split as in PASS, step 2.2: arithmetic normalization, Hungarian matching.
    """
    match = assign(contingency)
    rows = np.flatnonzero(match != UNMATCHED)
    hits = contingency[rows, match[rows]].sum()
    return Agreement(
        100 * normalized_mutual_information(contingency), 100 * float(hits / max(contingency.sum(), 1)), match
    )


def score_assignments(assignments: Assignments, labels: Labels, clusters: int) -> Agreement | None:
    """Score the clusters of whole images; None where images have no category or only parts of them were clustered."""
    rows = [
        (cluster, name)
        for image_id, region, cluster in zip(
            assignments.image_ids, assignments.region_ids, assignments.cluster_ids, strict=True
        )
        if region == 0 and (name := labels.class_name(image_id)) is not None
    ]
    if not rows:
        return None
    names, categories = np.unique([name for _, name in rows], return_inverse=True)
    found = np.array([cluster for cluster, _ in rows], np.int64)
    return compare_clusters(contingency_matrix(found, categories, (clusters, len(names))))


def normalized_mutual_information(contingency: Int64) -> float:
    """Mutual information over the mean of the two entropies; 1 if both sides have a single class.

    Args:
        contingency: (rows, columns) counts.
    """
    rows, columns = _entropy(contingency.sum(1)), _entropy(contingency.sum(0))
    if rows + columns == 0:
        return 1.0
    mutual = rows + columns - _entropy(contingency.ravel())
    return float(np.clip(2 * mutual / (rows + columns), 0, 1))


def _entropy(counts: Int64) -> float:
    shares: Float64 = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum())


def _measure(config: Config, inputs: Inputs, evaluation: Evaluation) -> EvaluatorResult[Agreement | None]:
    """NMI and matched accuracy on the train split; nothing where photographs have no category."""
    agreement = score_assignments(inputs.assignments, inputs.labels, inputs.clusters)
    scores = {"train": {"NMI": agreement.nmi, "accuracy": agreement.accuracy}} if agreement else {}
    return EvaluatorResult(scores, agreement)


CLUSTERING = Evaluator(
    name="clustering",
    needs=("cluster",),
    measures=("NMI", "accuracy"),
    is_wanted=lambda config: True,
    measure=_measure,
)
