"""Object vectors of a model in `artifacts/`, scored by true masks: what benchmarks of objects share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from stages.core.artifacts.features import read_features
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import SALIENT, LabelMap, open_label_maps, write_label_maps
from stages.core.artifacts.labels import read_labels
from stages.core.artifacts.models import read_model
from stages.core.config.params import validate_section
from stages.core.data import DATA
from stages.core.images.crops import Window, crop_map, resize_short_side
from stages.core.images.inference import normalize
from stages.core.nets.objects import restore_objects
from stages.core.png_files import read_mask
from stages.evaluate.evaluators.objects import ObjectCounts, count_object, find_nearest, score_kmeans, score_retrieval
from stages.extract.__main__ import main as extract
from stages.extract.methods.salient_object.config import SalientObjectConfig
from stages.saliency import Config as SaliencyConfig
from stages.saliency.__main__ import main as saliency
from tests.benchmarks.saliency import assess, load

IGNORE = 1000
TRUTH = "truth"
SALIENCY = Path("artifacts/saliency")
SEEDS = range(5)
OVERCLUSTERING = (50, 100)


class Objects(NamedTuple):
    """Objects of the validation split, where a prior sees them."""

    prior: str
    image_ids: list[str]
    counts: ObjectCounts
    side: int

    @property
    def classes(self) -> int:
        """Without the background."""
        return self.counts.inside.shape[1] - 1

    def score(self) -> dict[str, Any]:
        """Scores of the model's vectors in percent: k-means over seeds as [mean, deviation], retrieval from train."""
        use_prior(self.prior, 2 * self.side)
        wants_train = self.prior != TRUTH  # Whose objects one would not have.
        vectors, bank, classes = self._describe(0, *["train"] * wants_train, "validation")
        found = int((np.abs(vectors).sum(1) > 0).sum())
        clusters = {
            f"{self.prior} {k}": self._cluster(vectors, k) for k in (self.classes, *OVERCLUSTERING) if k <= found
        }
        whitened = {f"{self.prior} whitened": self._cluster(self._describe(32, "validation")[0], self.classes)}
        if not wants_train:
            return clusters | whitened
        neighbors = classes[find_nearest(vectors, bank, 1)[:, 0]]
        return clusters | whitened | {f"{self.prior} retrieval": round(score_retrieval(neighbors, self.counts), 2)}

    def chance(self) -> list[float]:
        """What k-means of random vectors scores, and what the best class for every object does."""
        noise = np.random.default_rng(0).normal(size=(len(self.image_ids), 32)).astype(np.float32)
        best = self.counts.inside[:, 1:].argmax(1) + 1
        return [*self._cluster(noise, self.classes), round(score_retrieval(best, self.counts), 2)]

    def _cluster(self, vectors: np.ndarray, clusters: int) -> list[float]:
        spread = score_kmeans(vectors, self.counts, clusters, SEEDS)
        return [round(spread.mean, 2), round(spread.deviation, 2)]

    def _describe(self, whiten: int, *splits: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit vectors of these objects, zero where there is none; those of the train split, and their classes."""
        extract(SalientObjectConfig(splits=splits, mask="saliency_maps", short_side=self.side, whiten=whiten))
        rows, labels = read_features(), read_labels()
        lengths = np.linalg.norm(rows.embeddings, axis=1, keepdims=True)
        units = dict(zip(rows.image_ids, rows.embeddings / np.maximum(lengths, 1e-8), strict=True))
        nothing = np.zeros(rows.embeddings.shape[1], np.float32)
        here, number_of = set(self.image_ids), {name: number for number, name in labels.classes.items()}
        bank = {image_id: vector for image_id, vector in units.items() if image_id not in here}
        classes = [number_of[labels.class_name(image_id) or ""] for image_id in bank]
        vectors = np.stack([units.get(image_id, nothing) for image_id in self.image_ids])
        return vectors, np.array(list(bank.values())), np.array(classes)


def find_objects(prior: str, side: int) -> Objects:
    """Count what lies inside and outside of the objects that a prior sees in the validation split."""
    use_prior(prior, 2 * side)
    photos, labels, maps = read_images().in_splits("validation"), read_labels(), open_label_maps("saliency")
    found = []
    for photo in (photos[position] for position in range(len(photos))):
        true = np.asarray(read_mask(DATA / str(labels.mask_path(photo.image_id))))
        size, whole = (photo.height, photo.width), Window(0, 0, photo.width, photo.height, False)
        small = np.asarray(crop_map(true, size, whole, side), np.int64)
        mask = np.asarray(crop_map(maps[photo.image_id].map, size, whole, side)) >= SALIENT
        weight = photo.height * photo.width // side**2  # as if at full size
        found.append(count_object(small, mask, len(labels.classes), IGNORE) * weight)
    stacked = np.stack(found)
    return Objects(prior, photos.image_ids, ObjectCounts(stacked[:, 0], stacked[:, 1]), side)


def use_prior(name: str, side: int) -> None:
    """Make a prior the artifact of the stage saliency; each is computed once."""
    kept = Path("priors") / name
    if not kept.exists():
        shutil.rmtree(SALIENCY, ignore_errors=True)
        if name == TRUTH:
            _write_truth()
        else:
            section = {"method": name, "threshold": 0.5, "max_side": side}
            saliency(validate_section("saliency", section, SaliencyConfig, name))
        shutil.copytree(SALIENCY, kept.with_suffix(".partial"), dirs_exist_ok=True)
        kept.with_suffix(".partial").rename(kept)
    shutil.rmtree(SALIENCY, ignore_errors=True)
    shutil.copytree(kept, SALIENCY)


def _write_truth() -> None:
    photos, labels = read_images(), read_labels()
    maps = []
    for photo in (photos[position] for position in range(len(photos))):
        if path := labels.mask_path(photo.image_id):
            true = read_mask(DATA / path)
            mask = ((true > 0) & (true != IGNORE)).astype(np.uint8) * np.uint8(255)
            maps.append(LabelMap(photo.image_id, photo.height, photo.width, mask))
    write_label_maps("saliency", TRUTH, maps)


def measure_saliency_head(ecssd: Path, side: int) -> dict[str, float]:
    """Max F and mean absolute error of the model's saliency head."""
    card, states = read_model("attend", ["saliency"])
    network = restore_objects(card, states).eval()

    def read_head(image: np.ndarray) -> np.ndarray:
        small = resize_short_side(image, side)
        with torch.inference_mode():
            salient = network(normalize(torch.from_numpy(small.transpose(2, 0, 1).copy())[None], card.input)).salient
        return np.rint(255 * torch.sigmoid(salient[0]).numpy()).astype(np.uint8)

    found = assess("saliency head", read_head, load(ecssd, None), None)
    return {name: round(found[name], 4) for name in ("max_F", "MAE")}
