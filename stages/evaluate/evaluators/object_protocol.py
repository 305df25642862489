"""The protocol of objects on the pipeline's artifacts: their vectors, where predictions see them, true masks."""

from __future__ import annotations

import sys
from collections.abc import Container
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.features import read_features
from stages.core.faiss_ops import normalize_rows
from stages.core.image_files import read_mask
from stages.core.progress import track
from stages.evaluate import Config, ObjectProtocolConfig
from stages.evaluate.evaluators.evaluator import Evaluator, Finding
from stages.evaluate.evaluators.objects import (
    ObjectCounts,
    Spread,
    count_object,
    find_nearest,
    score_kmeans,
    score_retrieval,
)
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.evaluation import Evaluation

Float32 = npt.NDArray[np.float32]

_OBJECT = 1


class ObjectScores(NamedTuple):
    """One split, in percent."""

    split: str
    photographs: int
    objects: int
    """Photographs that have one."""
    kmeans: Spread
    overclustered: dict[int, Spread]
    """By the number of ids, background included."""
    retrieval: float | None
    """None without objects of the train split whose photographs are filed under classes."""
    grid: list[tuple[str, list[str]]]
    """Ids of photographs with objects, and of those with the nearest ones of the train split."""

    @property
    def summary(self) -> dict[str, float]:
        """As it stands in metrics.json."""
        kmeans = {"objects_mIoU": self.kmeans.mean, "objects_mIoU_deviation": self.kmeans.deviation}
        over = {f"objects_mIoU_{ids}": spread.mean for ids, spread in self.overclustered.items()}
        return kmeans | over | ({} if self.retrieval is None else {"retrieval_mIoU": self.retrieval})


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
    """The vector of each photograph's object."""
    features = read_features()
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
    retrieval, grid = _retrieve(rules, inputs, vectors, ids, counts)
    return ObjectScores(
        split=split,
        photographs=len(ids),
        objects=found,
        kmeans=score_kmeans(queries, counts, classes, range(rules.seeds)),
        overclustered={number: score_kmeans(queries, counts, number - 1, range(rules.seeds)) for number in over},
        retrieval=retrieval,
        grid=grid,
    )


def _count(
    inputs: Inputs, ignore: int, pairs: list[tuple[str, str]], level: int, vectors: Container[str]
) -> ObjectCounts:
    """Pixels by true id inside and outside of what was predicted as an object at a threshold in hundredths.

    Where a photograph has no vector, it has no object.
    """
    counted = []
    for image_id, mask_path in track(pairs, label="objects"):
        predicted = inputs.predictions[image_id]
        mask = np.asarray(predicted.map) > 0
        mask &= image_id in vectors
        if predicted.score is not None:
            mask &= predicted.score >= level
        counted.append(count_object(read_mask(mask_path).astype(np.int64), mask, inputs.classes, ignore))
    stacked = np.stack(counted)
    return ObjectCounts(stacked[:, 0], stacked[:, 1])


def _retrieve(
    rules: ObjectProtocolConfig, inputs: Inputs, vectors: dict[str, Float32], ids: list[str], counts: ObjectCounts
) -> tuple[float | None, list[tuple[str, list[str]]]]:
    """The nearest objects of the train split: what their classes score, and for some which they are."""
    train = inputs.images.of("train").image_ids if inputs.images.has("train") else []
    bank = [image_id for image_id in train if image_id in vectors and image_id not in ids]
    known = [number for number, image_id in enumerate(ids) if image_id in vectors]
    if not bank or not known:
        return None, []
    queries = np.stack([vectors[ids[number]] for number in known])
    rows = find_nearest(queries, np.stack([vectors[image_id] for image_id in bank]), rules.neighbors)
    number_of = {name: number for number, name in inputs.labels.classes.items()}
    classes = np.array([number_of.get(inputs.labels.class_name(image_id) or "", 0) for image_id in bank])
    nearest = np.zeros(len(ids), np.int64)
    nearest[known] = classes[rows[:, 0]]
    drawn = np.sort(np.random.default_rng(0).permutation(len(known))[: rules.pictured])
    grid = [(ids[known[row]], [bank[each] for each in rows[row]]) for row in drawn]
    return (score_retrieval(nearest, counts) if classes.all() else None), grid


def _measure(config: Config, inputs: Inputs, evaluation: Evaluation) -> Finding[list[ObjectScores]]:
    found = score_objects(config, inputs, evaluation)
    return Finding({each.split: each.summary for each in found}, found)


OBJECTS = Evaluator(
    name="objects",
    needs=("extract",),
    measures=("objects_mIoU", "retrieval_mIoU"),
    is_wanted=lambda config: config.objects is not None,
    measure=_measure,
)
