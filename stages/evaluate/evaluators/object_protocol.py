"""Evaluator of MaskContrast's object protocol: k-means and retrieval of objects, scored by true masks."""

from __future__ import annotations

import sys
from collections.abc import Container
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.features import read_features
from stages.core.errors import UserError
from stages.core.faiss_ops import normalize_rows
from stages.core.progress import track
from stages.core.whitening import whiten
from stages.evaluate import Config, ObjectProtocolConfig
from stages.evaluate.evaluators.evaluator import Evaluator, EvaluatorResult
from stages.evaluate.evaluators.object_retrieval import Retrieval, SplitObjects, object_mask, retrieve
from stages.evaluate.evaluators.objects import (
    MeanAndDeviation,
    ObjectCounts,
    count_object,
    score_kmeans,
)
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.evaluation import Evaluation

Float32 = npt.NDArray[np.float32]

_OBJECT = 1


class ObjectScores(NamedTuple):
    """Scores of one split, in percent."""

    split: str
    photographs: int
    objects: int
    """Photographs that have one."""
    kmeans: MeanAndDeviation
    overclustered: dict[int, MeanAndDeviation]
    """By the number of ids, background included."""
    retrieval: Retrieval

    @property
    def summary(self) -> dict[str, float]:
        """The scores as metrics.json holds them."""
        kmeans = {"objects_mIoU": self.kmeans.mean, "objects_mIoU_deviation": self.kmeans.deviation}
        over = {f"objects_mIoU_{ids}": spread.mean for ids, spread in self.overclustered.items()}
        found = {"retrieval_mIoU": self.retrieval.miou, "retrieval_mIoU_among": self.retrieval.miou_among}
        return kmeans | over | {name: value for name, value in found.items() if value is not None}


def score_objects(config: Config, inputs: Inputs, evaluation: Evaluation) -> list[ObjectScores]:
    """Score the objects of every scored split that `extract` has described; none where the config asks for none."""
    if config.objects is None or not evaluation.has_scores:
        return []
    vectors = _read_vectors()
    described = [split for split in evaluation.splits if any(one in vectors for one in inputs.predicted(split))]
    if not described:
        print(
            "evaluate.objects: nothing scored, artifacts/extract describes no object of a split with masks; "
            "set extract.splits=[train,validation], or evaluate.objects to null",
            file=sys.stderr,
        )
    level = evaluation.threshold.hundredths or 0
    return [_score_split(config, config.objects, inputs, (split, level), vectors) for split in described]


def _read_vectors() -> dict[str, Float32]:
    """The vector of each photograph's object.

    Raises:
        UserError: They are whitened.
    """
    features = read_features()
    if features.space == "whitened":
        raise UserError(
            "evaluate.objects: artifacts/extract holds whitened vectors, and the protocol whitens each split's by "
            "itself; set extract.whiten: 0, or evaluate.objects: null"
        )
    rows = zip(features.image_ids, features.region_ids, features.embeddings, strict=True)
    return {image_id: vector for image_id, region, vector in rows if region == _OBJECT}


def _score_split(
    config: Config, rules: ObjectProtocolConfig, inputs: Inputs, place: tuple[str, int], vectors: dict[str, Float32]
) -> ObjectScores:
    split, level = place
    pairs = inputs.masked(split)
    ids = [image_id for image_id, _ in pairs]
    nothing = np.zeros_like(next(iter(vectors.values())))
    queries = normalize_rows(np.stack([vectors.get(image_id, nothing) for image_id in ids]))
    counts = _count(inputs, config.ignore_id, pairs, level, vectors)
    found, classes = sum(image_id in vectors for image_id in ids), inputs.classes
    over = [number for number in rules.overclustering if classes + 1 < number <= found]
    retrieval = retrieve(config, inputs, vectors, SplitObjects(ids, counts, level))
    heaps = _whiten(queries, rules.whiten)
    return ObjectScores(
        split=split,
        photographs=len(ids),
        objects=found,
        kmeans=score_kmeans(heaps, counts, classes, range(rules.seeds)),
        overclustered={number: score_kmeans(heaps, counts, number - 1, range(rules.seeds)) for number in over},
        retrieval=retrieval,
    )


def _count(
    inputs: Inputs, ignore: int, pairs: list[tuple[str, str]], level: int, vectors: Container[str]
) -> ObjectCounts:
    """Pixels by true id inside and outside of what was predicted as an object at a threshold in hundredths.

    Where a photograph has no vector, it has no object.
    """
    counted = []
    for image_id, _ in track(pairs, label="objects"):
        true = inputs.labels.read_mask(image_id)
        mask = object_mask(inputs, image_id, level, true.shape) & (image_id in vectors)
        counted.append(count_object(true.astype(np.int64), mask, inputs.classes, ignore))
    stacked = np.stack(counted)
    return ObjectCounts(stacked[:, 0], stacked[:, 1])


def _whiten(queries: Float32, components: int) -> Float32:
    """The unit vectors that are there, whitened among themselves; rows of zeros, where no object is, stay."""
    there = np.abs(queries).sum(1) > 0
    components = min(components, int(there.sum()) - 1, queries.shape[1])
    if components < 1:
        return queries
    whitened = np.zeros((len(queries), components), np.float32)
    whitened[there] = whiten(queries[there], components, "evaluate.objects.whiten")
    return whitened


def _measure(config: Config, inputs: Inputs, evaluation: Evaluation) -> EvaluatorResult[list[ObjectScores]]:
    found = score_objects(config, inputs, evaluation)
    return EvaluatorResult({each.split: each.summary for each in found}, found)


OBJECTS = Evaluator(
    name="objects",
    needs=("extract",),
    measures=("objects_mIoU", "retrieval_mIoU", "retrieval_mIoU_among"),
    is_wanted=lambda config: config.objects is not None,
    measure=_measure,
)
