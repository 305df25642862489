"""A small finished pipeline: drawn photographs with masks, predictions, clusters and models as stages leave them."""

from pathlib import Path

import numpy as np

from stages.core.artifacts.clusters import Assignments, Centroids, write_clusters
from stages.core.artifacts.features import write_features
from stages.core.artifacts.image_index import Photo, write_images
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.artifacts.labels import Label, write_labels
from stages.core.artifacts.shards import ARTIFACTS, atomic_out, encode_json, write_atomically
from stages.core.png_files import encode_png

CLASSES = {1: "circle", 2: "square", 3: "stripe"}
SIDE = 48


def draw_mask(rng, class_id):
    """One object of a class, some ignored pixels at its left."""
    mask = np.zeros((SIDE, SIDE), np.int64)
    top, left, size = rng.integers(2, 12), rng.integers(4, 12), rng.integers(12, 32)
    mask[top : top + size, left : left + size] = class_id
    mask[top : top + size, left : left + 2] = 1000
    return mask


def as_rgb(mask):
    return np.stack([mask % 256, mask // 256, np.zeros_like(mask)], 2).astype(np.uint8)


def write_project(
    images_per_class=4,
    with_masks=True,
    splits=("train", "validation", "test"),
    with_scores=True,
    masks_of_train=False,
    rejected=(),
):
    """Write data/ and artifacts/ below the current directory; returns (true, pred, score) by image id."""
    rng = np.random.default_rng(7)
    photos, labels, maps, rows = [], [], [], []
    truth = {}
    for split in splits:
        for class_id, name in CLASSES.items():
            for number in range(images_per_class):
                image_id = f"{split}/{name}/{number:02d}"
                mask = draw_mask(rng, class_id)
                photo = np.clip(40 * mask % 200 + rng.integers(0, 50, mask.shape), 0, 255).astype(np.uint8)
                photos.append(save_photo(image_id, split, np.repeat(photo[..., None], 3, 2)))
                labels.append(
                    save_mask(
                        image_id, split, name, mask if with_masks and (split != "train" or masks_of_train) else None
                    )
                )
                if split != "train" or len(splits) == 1:
                    pred, score = predict(rng, mask)
                    truth[image_id] = mask.astype(np.uint16), pred.astype(np.uint16), score
                    maps.append(LabelMap(image_id, SIDE, SIDE, pred, score if with_scores else None))
                if split == "train":
                    rows.append((image_id, 0, int(rng.choice([class_id % 3, class_id % 3, 2])), float(rng.random())))
    write_images(photos, [], "imagenet_s")
    write_labels(labels, CLASSES if with_masks else {}, rejected, "imagenet_s")
    write_label_maps("predict", "segmenter", sorted(maps, key=lambda row: row.image_id))
    write_models_and_clusters(sorted(rows))
    return truth


def save_photo(image_id, split, pixels):
    path = Path("data") / f"{image_id}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels))
    return Photo(image_id, split, f"{image_id}.png", *pixels.shape[:2], path.stat().st_size, "0" * 64)


def save_mask(image_id, split, name, mask):
    if mask is None:
        return Label(image_id, None, None, name)
    relative = image_id.replace(split, f"{split}-segmentation", 1) + ".png"
    path = Path("data") / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(as_rgb(mask)))
    return Label(image_id, relative, "0" * 64, name)


def predict(rng, mask):
    """A shifted mask whose ids are turned by one, with scores that are higher inside."""
    objects = np.where(mask == 1000, 0, mask)
    pred = np.roll(np.where(objects > 0, objects % 3 + 1, rng.integers(1, 4)), int(rng.integers(0, 4)), 1)
    inside = np.roll(objects > 0, 2, 0)
    score = np.where(inside, rng.integers(40, 100, mask.shape), rng.integers(0, 60, mask.shape))
    return pred.astype(np.uint8), score.astype(np.uint8)


def write_models_and_clusters(rows, count=None):
    count = count or len(CLASSES)
    centroids = Centroids(np.eye(count, dtype=np.float32), np.bincount([row[2] for row in rows], minlength=count), True)
    columns = list(zip(*rows, strict=True))
    regions, clusters, distances = (
        np.array(columns[1], np.int32),
        np.array(columns[2], np.int32),
        np.array(columns[3], np.float32),
    )
    write_clusters(centroids, Assignments(list(columns[0]), regions, clusters, distances), "kmeans")
    write_features([], 4, "float32", "image")
    for stage in ("pretrain", "attend", "finetune"):
        card = {
            "contract": "model/1",
            "stage": stage,
            "method": stage,
            "parts": {"backbone": {"name": "resnet10t", "output_stride": 32, "drop_path": 0.0}},
            "feature_map": "stage4",
            "output_stride": 32,
            "embedding_size": 4,
            "input": {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 32},
            "start": {"origin": "random"},
            "labels_used": False,
            "params": {},
        }
        if stage == "finetune":
            card["segmenter"] = {
                "clusters": count,
                "short_side": 32,
                "score": "softmax",
                "background": "threshold",
                "threshold": 0.4,
                "threshold_source": "without_labels",
            }
        with atomic_out(ARTIFACTS / stage, "model", stage, stage) as out:
            write_atomically(out / "model.json", encode_json(card))
            lines = [f"{step},{step // 10},{2.0 / (step + 1):.4f},{0.1:.3f}" for step in range(30)]
            write_atomically(
                out / "history.csv", "\n".join(["iteration,epoch,loss,learning_rate", *lines, ""]).encode()
            )
