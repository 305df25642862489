"""Labels of pixels against a plain walk over the pixels, and the threshold on masks against the evaluation itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from stages.core.artifacts.clusters import Assignments, Centroids, read_centroids, write_clusters
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.labels import Label, write_labels
from stages.core.artifacts.models import describe_parts, read_model, write_model
from stages.core.config.networks import AttentionKind, Space
from stages.core.config.params import validate_section
from stages.core.errors import UserError
from stages.core.metrics.counting import CountingSettings, MapPair, count_images
from stages.core.metrics.scores import score
from stages.core.metrics.thresholds import Thresholds
from stages.core.nets.attention import ChannelAttention, PixelAttention
from stages.core.nets.backbones import build_backbone
from stages.core.nets.features import restore_features
from stages.evaluate.protocols.definitions import PROTOCOLS
from stages.pseudolabel import Config
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.methods.nearest_centroid.config import ForegroundConfig, NearestCentroidConfig
from stages.pseudolabel.validation import ThresholdCurve
from tests.fabricate import BACKBONE, EXPECTS, SIZE, backbone_card, fabricate_clusters, fabricate_images


def fabricate_inputs(kind: AttentionKind = "channel", held_out: int = 0) -> ImageIndex:
    """A model with random attention, and the cluster of every photograph."""
    index = fabricate_images(6, (40, 56), held_out=held_out)
    attention = (PixelAttention if kind == "pixel" else ChannelAttention)(SIZE, 2)
    parts = {"backbone": build_backbone(BACKBONE), "attention": attention}
    write_model("attend", parts, backbone_card().model_copy(update={"parts": describe_parts(parts)}), [])
    fabricate_clusters([0, 0, 1, 1, 2, 2], index.in_splits("train").image_ids, 3)
    return index


def see_plainly(index: ImageIndex, position: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (D, h, w) at twice their size and the attention (h, w), written out."""
    card, states = read_model("attend")
    pixels = torch.from_numpy(np.asarray(Image.open(f"data/{index[position].path}").resize((44, 32), 2)).copy())
    pixels = (pixels.permute(2, 0, 1) / 255 - torch.tensor(EXPECTS.mean)[:, None, None]) / torch.tensor(EXPECTS.std)[
        :, None, None
    ]
    with torch.no_grad():
        features = restore_features(card, states).eval()(pixels[None])
        features = F.interpolate(features, scale_factor=2, mode="bilinear")
        state = states["attention"]
        if "conv.weight" in state:
            weights = torch.sigmoid(F.conv2d(features, state["conv.weight"], state["conv.bias"]))
        else:
            hidden = F.conv2d(F.normalize(features), state["layers.0.weight"], state["layers.0.bias"])
            hidden = torch.relu(norm(hidden, state, "layers.1"))
            hidden = norm(F.conv2d(hidden, state["layers.3.weight"], state["layers.3.bias"]), state, "norm")
            weights = torch.sigmoid(hidden + state["offset"])
    return features[0], weights[0].mean(0)


def norm(values: torch.Tensor, state: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    part = [state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(values, *part)


def fabricate_clusters_at(centroids: list[torch.Tensor], index: ImageIndex, space: Space = "stage4") -> None:
    ids = np.arange(6, dtype=np.int32) // 2
    assignments = Assignments(index.image_ids, np.zeros(6, np.int32), ids, np.zeros(6, np.float32))
    write_clusters(Centroids(torch.stack(centroids).numpy(), np.bincount(ids), True, space), assignments, "kmeans")


CONFIG = {"resize": 32, "foreground": {"rule": "fixed", "value": 0.5, "photographs": 4}}


@pytest.mark.parametrize("kind", ["pixel", "channel"])
def test_a_pixel_takes_its_nearest_centroid_where_attention_is_high(kind: AttentionKind) -> None:
    index = fabricate_inputs(kind)
    seen = [see_plainly(index, position) for position in range(6)]
    middle = float(torch.cat([weights.ravel() for _, weights in seen]).quantile(0.6))
    fabricate_clusters_at([features.flatten(1)[:, 3 * place] for place, (features, _) in enumerate(seen[::2])], index)
    main(NearestCentroidConfig.model_validate({**CONFIG, "foreground": {"rule": "fixed", "value": middle}}))
    centroids = read_centroids().embeddings
    found = set()
    for position, stored in enumerate(open_label_maps("pseudolabel")):
        features, weights = see_plainly(index, position)
        assert (stored.height, stored.width, stored.map.shape) == (40, 56, (32, 44))
        scores = F.interpolate(weights[None, None], (32, 44), mode="bilinear")[0, 0]
        height, width = weights.shape
        for i, j in np.ndindex(32, 44):
            pixel = features[:, i * height // 32, j * width // 44].numpy()
            cosines = centroids @ pixel / np.linalg.norm(centroids, axis=1)
            if abs(scores[i, j] - middle) > 1e-6 and np.diff(np.sort(cosines)[-2:]) > 1e-6:
                expected = cosines.argmax() + 1 if scores[i, j] >= middle else 0
                assert stored.map[i, j] == expected
                found.add(int(expected))
    assert 0 in found
    assert len(found) > 2


def test_a_pixel_takes_the_cluster_of_its_photograph() -> None:
    fabricate_inputs()
    main(NearestCentroidConfig.model_validate({**CONFIG, "category": "image"}))
    for stored, cluster in zip(open_label_maps("pseudolabel"), [1, 1, 2, 2, 3, 3], strict=True):
        assert set(np.unique(stored.map)) <= {0, cluster}


def fabricate_masks(index: ImageIndex) -> list[np.ndarray]:
    masks, labels = [], []
    rng = np.random.default_rng(1)
    for number, image_id in enumerate(index.image_ids):
        masks.append(np.zeros((40, 56), np.uint16))
        masks[-1][8:30, 10:40] = number % 3 + 1
        masks[-1][rng.random((40, 56)) < 0.1] = 1000
        path = Path("data") / f"{image_id}-mask.png"
        colors = np.stack([masks[-1] % 256, masks[-1] // 256, masks[-1] * 0], 2).astype(np.uint8)
        Image.fromarray(colors).save(path)
        labels.append(Label(image_id, f"{image_id}-mask.png", "", None))
    write_labels(labels, {1: "a", 2: "b", 3: "c"}, [], "imagenet_s")
    return masks


def test_the_curve_is_that_of_the_evaluation() -> None:
    """Random labels and scores of ten photographs, scored by the stage evaluate at every threshold."""
    rng = np.random.default_rng(0)
    curve, maps = ThresholdCurve(3, 3), {}
    for number in range(10):
        true = rng.choice(np.array([0, 1 + number % 3, 1000], np.uint16), (20, 30), p=[0.5, 0.4, 0.1])
        category = rng.choice(np.array([1 + number % 3, 1 + number % 2], np.uint16), (20, 30), p=[0.8, 0.2])
        hundredths = np.clip(rng.normal(30, 15, (20, 30)) + 20 * (true > 0), 0, 100).astype(np.uint8)
        curve.add(str(number), category, (hundredths + 0.5).astype(np.float32) / 100, true)
        maps[str(number)] = true, category, hundredths
    thresholds = Thresholds([level / 100 for level in range(81)])

    def load(item: tuple[str, str]) -> MapPair:
        true, category, hundredths = maps[item[0]]
        return MapPair(true, category, thresholds.rank_stored(hundredths), item[0], item[0])

    counts = count_images([(name, name) for name in maps], load, CountingSettings(3, 3, 1000, 81), "drawn")
    protocol = PROTOCOLS["imagenet_s"]
    for level in range(0, 81, 8):
        summary = protocol.summarize(score(counts, protocol.find_match(counts, level), level), False)
        assert curve.miou(level) == pytest.approx(summary["mIoU"], abs=1e-6)
    assert curve.miou(round(100 * curve.best)) == max(curve.miou(level) for level in range(81))


def test_a_mask_with_an_id_that_no_class_has_is_named() -> None:
    true = np.full((20, 30), 4, np.uint16)
    with pytest.raises(UserError, match=r"mask of some/photograph: holds id 4, but the classes are 0\.\.3"):
        ThresholdCurve(3, 3).add("some/photograph", np.ones_like(true), np.ones((20, 30), np.float32), true)


def test_the_threshold_may_be_chosen_on_masks_where_the_section_says_so() -> None:
    index = fabricate_inputs(held_out=3)
    fabricate_masks(index.in_splits("validation"))
    chosen = NearestCentroidConfig.model_validate(
        {"resize": 32, "supervision": "labels", "foreground": {"rule": "validation"}}
    )
    main(chosen)
    assert open_label_maps("pseudolabel").image_ids == index.in_splits("train").image_ids


@pytest.mark.parametrize(("supervision", "rule"), [("images", "validation"), ("labels", "otsu")])
def test_a_use_of_masks_must_be_declared(supervision: str, rule: str) -> None:
    section = {"method": "nearest_centroid", "supervision": supervision, "foreground": {"rule": rule}}
    with pytest.raises(UserError, match="supervision: labels belong together"):
        validate_section("pseudolabel", section, Config, "params.yaml")


def test_a_model_without_attention_and_centroids_of_another_size_are_named() -> None:
    index = fabricate_inputs()
    write_model("attend", {"backbone": build_backbone(BACKBONE)}, backbone_card(), [])
    with pytest.raises(UserError, match="the model of none has no attention"):
        main(NearestCentroidConfig.model_validate(CONFIG))
    assert ForegroundConfig().rule == "otsu"
    assert len(index) == 6


def test_centroids_of_whitened_vectors_are_refused_though_their_size_fits() -> None:
    index = fabricate_inputs()
    fabricate_clusters_at([torch.randn(SIZE) for _ in range(3)], index, "whitened")
    with pytest.raises(UserError, match="its centroids are of whitened vectors"):
        main(NearestCentroidConfig.model_validate(CONFIG))
