"""How well descriptions of pixels tell the classes of scenes: clusters of them, and a linear probe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.labels import Labels
from stages.core.config.views import InputCard
from stages.core.faiss_ops import kmeans
from stages.core.image_files import UInt8
from stages.core.images.crops import resize_short_side
from stages.core.images.inference import normalize
from stages.core.metrics.matching import UNMATCHED, Match, match_greedily, match_pixels, without_background
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.heads import PixelClassifier, classify_by_centroids

IGNORE = 1000
SAMPLED = 256
"""Pixels per photograph that clusters and probe are fitted to."""

Describe = Callable[[UInt8], Tensor]
"""(H, W, 3) to a map (1, D, h, w)."""


class Score(NamedTuple):
    """In percent."""

    miou: float
    accuracy: float


class Look:
    """The map of a network."""

    def __init__(self, network: FeatureNetwork, expects: InputCard, short_side: int) -> None:
        self._network, self._expects, self._side = network.eval(), expects, short_side

    def __call__(self, image: UInt8) -> Tensor:
        pixels = resize_short_side(image, self._side).transpose(2, 0, 1)
        with torch.inference_mode():
            features: Tensor = self._network(normalize(torch.from_numpy(pixels.copy())[None], self._expects))
        return F.normalize(features, dim=1)


def see_color_and_place(image: UInt8) -> Tensor:
    """Lab, x and y of every pixel, each of about the same spread."""
    lab = cv2.cvtColor(np.float32(image) / 255, cv2.COLOR_RGB2LAB) / np.float32([25, 10, 10])
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    described = np.dstack([lab, 3.5 * x / width, 3.5 * y / height])
    return torch.from_numpy(described.transpose(2, 0, 1))[None]


def sample(index: ImageIndex, labels: Labels, describe: Describe) -> tuple[np.ndarray, np.ndarray]:
    """Descriptions (N, D) and true ids (N,) of pixels drawn evenly, those that do not count left out."""
    vectors, ids = [], []
    for position in range(len(index)):
        true = labels.read_mask(index[position].image_id)
        rng = np.random.default_rng([0, position])
        places = rng.permutation(true.size)[:SAMPLED]
        described = describe(index.read(position))
        enlarged = F.interpolate(described, true.shape, mode="bilinear", align_corners=False)[0]
        vectors.append(enlarged.flatten(1)[:, torch.from_numpy(places)].T.numpy())
        ids.append(true.ravel()[places])
    joined = np.concatenate(ids)
    return np.concatenate(vectors)[joined != IGNORE], joined[joined != IGNORE]


def fit(vectors: np.ndarray, ids: np.ndarray, clusters: Iterable[int]) -> dict[str, PixelClassifier]:
    """A classifier by nearest centroid for each number of clusters, and the probe."""
    heads = {
        str(k): classify_by_centroids(torch.from_numpy(kmeans(vectors, k, 3, 20, 0).centroids), normalize=False)
        for k in clusters
    }
    return heads | {"probe": fit_probe(vectors, ids)}


def fit_probe(vectors: np.ndarray, ids: np.ndarray) -> PixelClassifier:
    """Multinomial regression of the ids, whose class c is output c - 1."""
    mean, deviation = vectors.mean(0), vectors.std(0) + 1e-6
    found = LogisticRegression(max_iter=60, tol=1e-2).fit((vectors - mean) / deviation, ids)
    probe = PixelClassifier(vectors.shape[1], int(ids.max()))
    weight, bias = np.zeros((int(ids.max()), vectors.shape[1])), np.full(int(ids.max()), -1e9)
    weight[found.classes_ - 1] = found.coef_ / deviation
    bias[found.classes_ - 1] = found.intercept_ - (found.coef_ / deviation) @ mean
    with torch.no_grad():
        probe.conv.weight.copy_(torch.from_numpy(weight)[:, :, None, None])
        probe.conv.bias.copy_(torch.from_numpy(bias))
    return probe


def confuse(
    index: ImageIndex, labels: Labels, describe: Describe, heads: Mapping[str, PixelClassifier]
) -> dict[str, np.ndarray]:
    """Pixels (photographs, outputs + 1, classes + 1) of each classifier, at the photographs' own size."""
    classes = max(labels.classes)
    shapes = {name: (len(index), head.conv.out_channels + 1, classes + 1) for name, head in heads.items()}
    counts = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
    for position, (true, found) in enumerate(predict(index, labels, describe, heads)):
        counted = true != IGNORE
        for name, label in found.items():
            into = counts[name][position]
            pairs = label[counted] * (classes + 1) + true[counted]
            into += np.bincount(pairs, minlength=into.size).reshape(into.shape)
    return counts


def predict(
    index: ImageIndex, labels: Labels, describe: Describe, heads: Mapping[str, PixelClassifier]
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """True ids and every classifier's outputs + 1 of each photograph."""
    for position in range(len(index)):
        true = labels.read_mask(index[position].image_id).astype(np.int64)
        with torch.inference_mode():
            described = describe(index.read(position))
            found = {
                name: F.interpolate(head(described), true.shape, mode="bilinear", align_corners=False)
                .argmax(1)[0]
                .numpy()
                + 1
                for name, head in heads.items()
            }
        yield true, found


def score(confusion: np.ndarray, match: Match) -> Score:
    """Scores of matched predictions; classes that occur in neither truth nor prediction do not count."""
    matched = np.zeros((confusion.shape[1] + 1, confusion.shape[1]), np.int64)
    np.add.at(matched, np.where(match == UNMATCHED, confusion.shape[1], match), confusion)
    hits = np.diagonal(matched)[1:]
    union = matched.sum(1)[1:-1] + matched.sum(0)[1:] - hits
    return Score(100 * float((hits / union)[union > 0].mean()), 100 * float(hits.sum() / confusion.sum()))


def score_apart(confusions: np.ndarray, groups: Sequence[str]) -> Score:
    """Mean of the scores of each group of photographs, matched greedily by all others.

    Args:
        confusions: (photographs, clusters + 1, classes + 1)
        groups: The group of each photograph.
    """
    names = np.asarray(groups)
    scores = [
        score(confusions[names == group].sum(0), without_background(match_greedily, confusions[names != group].sum(0)))
        for group in np.unique(names)
    ]
    return Score(*np.mean(scores, 0).tolist())


def measure(
    train: ImageIndex,
    test: ImageIndex,
    labels: Labels,
    describe: Describe,
    clusters: Iterable[int],
    groups: Sequence[str] = (),
) -> dict[str, Score]:
    """Scores on test by `greedy K`, `optimal K` and `probe`; matches are fitted on train.

    With a group for every photograph of train, `apart K` is the score of these groups, matched by the others.
    """
    heads = fit(*sample(train, labels, describe), clusters)
    known = {name: head for name, head in heads.items() if name != "probe"}
    fitted, tested = confuse(train, labels, describe, known), confuse(test, labels, describe, heads)
    scores = {}
    for name, confusions in fitted.items():
        for how, find in {"greedy": match_greedily, "optimal": match_pixels}.items():
            match = without_background(find, confusions.sum(0))
            scores[f"{how} {name}"] = score(tested[name].sum(0), match)
        if groups:
            scores[f"apart {name}"] = score_apart(confusions, groups)
    probed = tested["probe"].sum(0)
    return scores | {"probe": score(probed, np.arange(len(probed)))}
