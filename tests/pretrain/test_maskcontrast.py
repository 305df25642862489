"""MaskContrast's loss against the paper's formulas written out pixel by pixel; its queue, keys and choice of images."""

from __future__ import annotations

import hashlib
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch.nn import functional as F

from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.artifacts.model_card import PhotographCounts
from stages.core.artifacts.models import read_model, read_model_card
from stages.core.engine.devices import seed_everything
from stages.core.engine.method import TrainingProgress
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.pretrain.__main__ import main
from stages.pretrain.methods.maskcontrast.config import MaskContrastConfig
from stages.pretrain.methods.maskcontrast.method import (
    MaskContrast,
    average_objects,
    balanced_cross_entropy,
    contrast_objects,
)
from stages.pretrain.methods.none.config import NoPretrainingConfig
from tests.fabricate import fabricate_images
from tests.methods import check_resumes_exactly, small, train_small

START = TrainingProgress(0, 10, 0, 1)


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def mean_of_object(embeddings: Any, mask: Any) -> list[float]:
    """Equation 2 for one photograph: embeddings (D, H, W), mask (H, W), as nested lists."""
    total = [0.0] * len(embeddings)
    for y, row in enumerate(mask):
        for x, inside in enumerate(row):
            if inside:
                z = unit([channel[y][x] for channel in embeddings])
                total = [a + b for a, b in zip(total, z, strict=True)]
    return unit(total)


def loss_of_pixel(z: list[float], own: int, objects: list[list[float]], temperature: float) -> float:
    """Equation 3."""
    scores = [dot(z, each) / temperature for each in objects]
    return -scores[own] + math.log(sum(math.exp(score) for score in scores))


def slow_contrast(query: Any, masks: Any, objects: list[list[float]], temperature: float, weighted: bool) -> float:
    losses: list[tuple[int, float]] = []
    for photo, (embeddings, mask) in enumerate(zip(query, masks, strict=True)):
        for y, row in enumerate(mask):
            for x, inside in enumerate(row):
                if inside:
                    z = unit([channel[y][x] for channel in embeddings])
                    losses.append((photo, loss_of_pixel(z, photo, objects, temperature)))
    if not weighted:
        return sum(loss for _, loss in losses) / len(losses)
    share = {photo: sum(owner == photo for owner, _ in losses) / len(losses) for photo in range(len(query))}
    weight = {photo: 1 / math.log(1.02 + each) for photo, each in share.items()}
    return sum(weight[photo] * loss for photo, loss in losses) / sum(weight[photo] for photo, _ in losses)


def random_case(seed: int) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(seed)
    query, key = torch.randn(2, 3, 5, 4, 6)
    masks = torch.rand(2, 3, 4, 6) < 0.2 + 0.2 * torch.arange(3)[:, None, None]
    masks[:, :, 1, 1] = True
    return query, key, masks[0], masks[1], F.normalize(torch.randn(7, 5), dim=1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_contrast_equals_the_formulas(seed: int, weighted: bool) -> None:
    query, key, query_masks, key_masks, queue = random_case(seed)
    prototypes = average_objects(key, key_masks)
    slow = [mean_of_object(e, m) for e, m in zip(key.tolist(), key_masks.tolist(), strict=True)]
    np.testing.assert_allclose(prototypes.numpy(), slow, atol=1e-6)
    pixels = F.normalize(query, dim=1).movedim(1, -1)[query_masks]
    objects = torch.cat([prototypes, queue])
    loss, accuracy = contrast_objects(pixels, query_masks.nonzero()[:, 0], objects, 0.5, weighted)
    expected = slow_contrast(query.tolist(), query_masks.tolist(), [*slow, *queue.tolist()], 0.5, weighted)
    assert abs(float(loss) - expected) < 1e-5
    owners = [photo for photo, mask in enumerate(query_masks.tolist()) for row in mask for inside in row if inside]
    nearest = [max(range(10), key=lambda n, z=z: dot(z, objects[n].tolist())) for z in pixels.tolist()]
    assert abs(float(accuracy) - np.mean([a == b for a, b in zip(owners, nearest, strict=True)])) < 1e-6


def test_pixels_of_a_small_object_weigh_more() -> None:
    """Two photographs, one pixel against three: worked by hand."""
    pixels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    objects = torch.eye(2)
    wrong, right = math.log(1 + math.exp(1)), math.log(1 + math.exp(-1))
    loss, _ = contrast_objects(pixels, torch.tensor([0, 1, 1, 1]), objects, 1.0, True)
    light, heavy = 1 / math.log(1.77), 1 / math.log(1.27)
    expected = (heavy * right + light * (2 * right + wrong)) / (heavy + 3 * light)
    assert abs(float(loss) - expected) < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_saliency_loss_balances_ones_and_zeros(seed: int) -> None:
    torch.manual_seed(seed)
    logits, masks = torch.randn(2, 3, 5), torch.rand(2, 3, 5) < 0.3
    ones, zeros, count = 0.0, 0.0, 0
    for logit, inside in zip(logits.flatten().tolist(), masks.flatten().tolist(), strict=True):
        chance = 1 / (1 + math.exp(-logit))
        ones += -math.log(chance) if inside else 0
        zeros += -math.log(1 - chance) if not inside else 0
        count += 1
    share = 1 - float(masks.float().mean())
    expected = (share * ones + (1 - share) * zeros) / count
    assert abs(float(balanced_cross_entropy(logits, masks)) - expected) < 1e-6


def build(**values: Any) -> MaskContrast:
    seed_everything(0)
    method: MaskContrast = small(MaskContrastConfig, **values).build().train()
    return method


def batch_of(seed: int) -> Batch:
    torch.manual_seed(seed)
    masks = [torch.zeros(4, 32, 32, dtype=torch.int32) for _ in range(2)]
    for mask in masks:
        mask[:, 8:24, 8:24] = 255
    return Batch(
        [torch.randn(4, 3, 32, 32) for _ in range(2)], torch.zeros(4, 2, 5), {"saliency": masks}, torch.arange(4)
    )


def test_the_queue_holds_the_newest_objects_first_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    method = build(queue=10)
    start = method.queue.embeddings[0].clone()
    assert torch.allclose(start.norm(dim=1), torch.ones(10))
    pushed: list[torch.Tensor] = []
    describe = method._describe_keys

    def note(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        pushed.insert(0, describe(images, masks))
        return pushed[0]

    monkeypatch.setattr(method, "_describe_keys", note)
    for step in range(5):  # 4 a step into 10: full after three, and it does not divide
        method.step(batch_of(step), START)
        method.after_step(START)
        assert torch.equal(method.queue.embeddings[0], torch.cat([*pushed, start])[:10])


def test_queue_and_shuffled_keys_survive_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(MaskContrastConfig, queue=10, shuffle_groups=2)
    check_resumes_exactly(lambda: build(queue=10, shuffle_groups=2), config, write_masks([16] * 12), monkeypatch)


def test_keys_have_the_weights_average_and_statistics_of_their_own() -> None:
    method = build(momentum={"value": 0.75})
    before = {name: value.clone() for name, value in method.keys.network.named_parameters()}
    method.step(batch_of(0), START).total.backward()
    with torch.no_grad():
        for parameter in method.features.parameters():
            parameter.add_(1.0)
    method.after_step(START)
    for name, value in method.keys.network.named_parameters():
        moved = 0.25 if name.startswith("0.") else 0.0
        assert torch.allclose(value, before[name] + moved, atol=1e-6), name
        assert not value.requires_grad
    own = dict(method.keys.network[0].named_buffers())
    trained = dict(method.features.named_buffers())
    assert any(not torch.equal(own[name], trained[name]) for name in own if name.endswith("running_mean"))


def test_shuffled_groups_give_each_photograph_its_own_prototype() -> None:
    """Batch norm in evaluation mode does not mix photographs: then groups and their order must not matter."""
    alone, shuffled = build(shuffle_groups=1).eval(), build(shuffle_groups=2).eval()
    images, masks = batch_of(0).views[0], batch_of(0).maps["saliency"][0] >= 128
    assert torch.allclose(alone._describe_keys(images, masks), shuffled._describe_keys(images, masks), atol=1e-5)
    alone.train(), shuffled.train()
    assert not torch.allclose(alone._describe_keys(images, masks), shuffled._describe_keys(images, masks), atol=1e-3)


def test_no_gradient_reaches_keys_and_queue() -> None:
    method = build()
    method.step(batch_of(0), START).total.backward()
    assert all(parameter.grad is None for parameter in method.keys.parameters())
    assert all(p.grad is not None for part in method.export().values() for p in part.parameters())


def test_frozen_parts_stay() -> None:
    index = write_masks([16] * 12)
    config = small(MaskContrastConfig, frozen=["stem", "conv1", "bn1", "layer1"])
    seed_everything(0)
    method = config.build()
    start = {name: value.clone() for name, value in method.features.backbone.named_parameters()}
    train_small(method, config, index, "work")
    still = {
        name.partition(".")[0]
        for name, value in method.features.backbone.named_parameters()
        if torch.equal(value, start[name])
    }
    assert still == {name.partition(".")[0] for name in start} & {"stem", "conv1", "bn1", "layer1"}


def write_masks(sides: list[int]) -> Any:
    index = fabricate_images(len(sides))
    maps = []
    for image_id, side in zip(index.image_ids, sides, strict=True):
        mask = np.zeros((32, 32), np.uint8)
        mask[4 : 4 + side, 4 : 4 + side] = 255
        maps.append(LabelMap(image_id, 32, 32, mask))
    write_label_maps("saliency", "drawn", maps)
    return index


def test_photographs_with_too_small_masks_are_left_out_and_counted() -> None:
    index = write_masks([16] * 8 + [0, 3, 3, 4])
    config = small(MaskContrastConfig, min_mask=0.01)  # 3 x 3 of 32 x 32 is 0.9 %, 4 x 4 is 1.6 %
    chosen = config.build().select_photos(index)
    assert [index.image_ids.index(one) for one in chosen.image_ids] == [*range(8), 11]
    main(config)
    assert read_model_card("pretrain").photographs == PhotographCounts(used=9, left_out=3)


def test_no_usable_mask_at_all_is_said() -> None:
    index = write_masks([0] * 12)
    with pytest.raises(UserError, match=r"saliency\.threshold"):
        small(MaskContrastConfig).build().select_photos(index)


def test_more_than_two_views_and_groups_of_one_are_refused() -> None:
    views = small(MaskContrastConfig).views.model_dump()
    views["crops"][0]["count"] = 3
    with pytest.raises(ValidationError, match="a query and a key"):
        small(MaskContrastConfig, views=views)
    with pytest.raises(ValidationError, match="two photographs"):
        small(MaskContrastConfig, shuffle_groups=3)


def test_one_view_is_query_and_key() -> None:
    views = small(MaskContrastConfig).views.model_dump()
    views["crops"][0]["count"] = 1
    method = build(views=views)
    batch = batch_of(0)
    one = Batch(batch.views[:1], batch.windows, {"saliency": batch.maps["saliency"][:1]}, batch.positions)
    assert torch.isfinite(method.step(one, START).total)


def test_a_whole_model_is_taken_to_other_photographs() -> None:
    write_masks([16] * 12)
    main(small(MaskContrastConfig))
    trained = read_model_card("pretrain")
    shutil.copytree("artifacts/pretrain", "elsewhere")
    shutil.rmtree("artifacts/pretrain")
    path = Path("elsewhere/model.safetensors")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    weights = {"path": str(path), "sha256": digest, "origin": "self_supervised_elsewhere"}
    taken = NoPretrainingConfig.model_validate({"weights": weights, "whole_model": True})
    main(taken)
    assert Path("artifacts/pretrain/model.safetensors").read_bytes() == path.read_bytes()
    card = read_model_card("pretrain")
    assert card.start.origin == "self_supervised_elsewhere"
    assert card.model_copy(update={"start": trained.start}) == trained
    read_model("pretrain", ["backbone", "decoder", "embedding", "saliency"])
    with pytest.raises(UserError, match="sha256"):
        main(NoPretrainingConfig.model_validate({"weights": {**weights, "sha256": "0" * 64}, "whole_model": True}))
    with pytest.raises(UserError, match=r"pretrain\.weights\.path"):
        main(NoPretrainingConfig(whole_model=True))
    # LUSS, table 7: the backbone alone is loaded, below a decoder with random weights.
    beside = {"backbone": trained.parts.backbone.model_dump(), "decoder": {"kind": "fpn", "channels": 8}}
    main(NoPretrainingConfig.model_validate({"weights": weights, **beside}))
    fresh, kept = read_model("pretrain", ["backbone", "decoder"]), load_file(path)
    assert fresh.card.embedding_size == 8
    assert all(torch.equal(kept[f"backbone.{name}"], value) for name, value in fresh.states["backbone"].items())
