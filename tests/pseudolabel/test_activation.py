"""From tags to labels of pixels: what a photograph's tags are, maps at several sizes, and the rules of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from stages.core.artifacts.clusters import Assignments, Centroids, read_assignments, write_clusters
from stages.core.artifacts.label_maps import IGNORE
from stages.core.artifacts.labels import Label, write_labels
from stages.core.errors import UserError
from stages.pseudolabel.activation.config import WEAKLY_SUPERVISED_CRF, LabelRules, MapConfig
from stages.pseudolabel.activation.inference import activate
from stages.pseudolabel.activation.labels import Seen, follow_edges, make_labels, weigh
from stages.pseudolabel.activation.tags import class_tags, cluster_tags
from stages.pseudolabel.activation.training import classification_loss, multi_hot
from tests.fabricate import fabricate_images


def write_masks(ids: dict[str, list[int]]) -> None:
    """Masks in data/, in which a photograph's ids stand side by side."""
    rows = []
    for image_id, own in ids.items():
        path = Path(f"{image_id}_mask.png")
        Image.fromarray(np.tile(np.array(own, np.uint16), (4, 1))).save("data" / path)
        rows.append(Label(image_id, str(path), "", None))
    write_labels(rows, {1: "a", 2: "b", 3: "c"}, [], "folder")


def test_true_tags_are_the_ids_of_a_mask_and_untagged_photographs_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    index = fabricate_images(3)
    one, two, three = index.image_ids
    write_masks({one: [0, 3, 1, 1000], two: [0, 0, 1000], three: [2, 2, 2]})
    tags = class_tags(index)
    assert tags.photographs.image_ids == [one, three]
    assert tags.ids.tolist() == [[0, 2], [1, -1]]
    assert tags.categories == 3
    assert f"no tag for 1 of 3 photographs, left out, as {two}" in capsys.readouterr().out
    np.testing.assert_array_equal(multi_hot(torch.from_numpy(tags.ids), 3), [[1, 0, 1], [0, 1, 0]])


def test_without_a_mask_the_folder_tells() -> None:
    index = fabricate_images(3)
    rows = [Label(image_id, None, None, image_id.split("/")[1]) for image_id in index.image_ids]
    write_labels(rows, {1: "a", 2: "b", 4: "c"}, [], "folder")
    tags = class_tags(index)
    assert (tags.ids.tolist(), tags.categories) == ([[0], [1], [3]], 4)


def test_bad_tags_are_named() -> None:
    index = fabricate_images(2)
    write_masks({index.image_ids[0]: [0, 7], index.image_ids[1]: [1]})
    with pytest.raises(UserError, match=r"_mask.png holds \[7\] which is no class"):
        class_tags(index)
    write_labels([Label(index.image_ids[0], None, None, "z")], {1: "a"}, [], "folder")
    with pytest.raises(UserError, match="filed under 'z', which is no class"):
        class_tags(index)
    write_labels([], {1: "a"}, [], "folder")
    with pytest.raises(UserError, match="no photograph of the train split has a tag"):
        class_tags(index)
    write_labels([], {}, [], "folder")
    with pytest.raises(UserError, match="the data set has no classes; set it to images"):
        class_tags(index)


def test_clusters_of_all_regions_of_a_photograph_are_its_tags() -> None:
    index = fabricate_images(3)
    ids = [index.image_ids[n] for n in (0, 0, 0, 2)]
    found = Assignments(
        ids, np.array([1, 2, 3, 1], np.int32), np.array([4, 1, 4, 0], np.int32), np.zeros(4, np.float32)
    )
    write_clusters(Centroids(np.zeros((6, 2), np.float32), np.ones(6, np.int64), True), found, "kmeans")
    tags = cluster_tags(index, read_assignments())
    assert tags.photographs.image_ids == [index.image_ids[0], index.image_ids[2]]
    assert (tags.ids.tolist(), tags.categories) == ([[1, 4], [0, -1]], 6)


def test_the_loss_of_a_photograph_is_that_of_its_mean_map() -> None:
    maps, tags = torch.randn(2, 3, 4, 5), torch.tensor([[0, 2], [1, -1]])
    total = 0.0
    for b, c in np.ndindex(2, 3):
        share = torch.sigmoid(maps[b, c].mean())
        total -= float(torch.log(share if c in tags[b].tolist() else 1 - share))
    assert float(classification_loss(maps, tags)) == pytest.approx(total / 6, rel=1e-5)


class _Brightness(nn.Module):
    """Stands in for what has been trained: two maps, at half of the image's size."""

    def activate(self, images: Tensor) -> Tensor:
        mean = nn.functional.avg_pool2d(images.mean(1, keepdim=True), 2)
        return torch.cat([mean, -mean, 3 * mean], 1)


def test_maps_of_all_sizes_are_added_and_divided_by_their_maximum() -> None:
    images = torch.zeros(1, 3, 32, 48)
    images[..., 24:] = 1
    config = MapConfig(scales=(0.5, 1.0, 2.0), flip=True)
    found = activate(_Brightness(), images, torch.tensor([0, 1]), config)
    assert found.shape == (2, 32, 48)
    assert found[0, :, :20].max() < 0.05
    assert found[0, :, 28:].min() == pytest.approx(1.0)
    assert not found[1].any(), "what is below 0 does not count"


def label_by_loops(maps: np.ndarray, ids: list[int], saliency: np.ndarray | None, rules: LabelRules) -> np.ndarray:
    height, width = maps.shape[1:]
    found = np.zeros((height, width), int)
    for y in range(height):
        for x in range(width):
            own = list(maps[:, y, x])
            ground = (1 - max(own)) ** rules.alpha if rules.background == "power" else 0.3
            strengths = [ground if saliency is None else 1 - saliency[y, x], *own]
            best = strengths.index(max(strengths))
            found[y, x] = 0 if best == 0 else ids[best - 1] + 1
            if sum(each > rules.clash for each in strengths) >= 2:
                found[y, x] = IGNORE
            if saliency is not None and best == 0 and (saliency[y, x] >= rules.salient or max(own) > rules.attended):
                found[y, x] = IGNORE
    labelled = sum(0 < each < IGNORE for each in found.ravel())
    return np.full_like(found, IGNORE) if labelled < rules.min_foreground * height * width else found


@pytest.mark.parametrize("background", ["saliency", "threshold", "power"])
@pytest.mark.parametrize("least", [0.01, 0.9])
def test_labels_follow_the_rules_pixel_by_pixel(background: str, least: float) -> None:
    rng = np.random.default_rng(0)
    maps = rng.uniform(0, 1, (3, 12, 17)).astype(np.float32)
    saliency = rng.uniform(0, 1, (12, 17)).astype(np.float32) if background == "saliency" else None
    rules = LabelRules(background=background, min_foreground=least)
    seen = Seen(maps, np.array([4, 0, 9]), saliency)
    found = make_labels(weigh(seen, rules, 0.3), seen, rules)
    np.testing.assert_array_equal(found, label_by_loops(maps, [4, 0, 9], saliency, rules))
    if least < 0.5:
        assert {5, 1, 10, IGNORE} <= set(np.unique(found))


def test_maps_follow_the_edges_of_the_photograph() -> None:
    photograph = np.zeros((40, 40, 3), np.uint8)
    photograph[:, 20:] = 220
    rough = np.where(np.arange(40) >= 25, 0.9, 0.2).astype(np.float32)  # five pixels off
    seen = Seen(np.tile(rough, (1, 40, 1)), np.array([0]))
    refined = follow_edges(weigh(seen, LabelRules(), 0.0), photograph, WEAKLY_SUPERVISED_CRF)
    assert ((refined[1] > 0.5) == (photograph[..., 0] > 0)).mean() > 0.99
