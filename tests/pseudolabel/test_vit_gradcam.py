"""Maps of classes against autograd through timm's whole network and loops over patches, killed and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tv

from stages.core.artifacts.class_maps import ClassMaps, open_class_maps
from stages.core.artifacts.clusters import Assignments, Centroids, write_clusters
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import IGNORE, open_label_maps
from stages.core.errors import UserError
from stages.core.hashing import hash_folder
from stages.core.nets.class_gradients import ClassGradients
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.methods.vit_gradcam import method
from stages.pseudolabel.methods.vit_gradcam.config import ViTGradCAMConfig
from stages.pseudolabel.methods.vit_gradcam.method import decide, part_groups, raise_attention
from tests.fabricate import EXPECTS, fabricate_backbone, fabricate_images, fabricate_transformer

CONFIG = ViTGradCAMConfig(size=(40, 48))
GROUP_OF = np.array([0, 0, 0, 1, 1], np.int8)
VECTORS = torch.randn(5, 24, generator=torch.Generator().manual_seed(1))


def write_centroids(image_ids: list[str], vectors: Any = VECTORS, **changes: Any) -> None:
    nothing = np.zeros(len(image_ids), np.int32)
    centroids = Centroids(np.asarray(vectors), np.ones(len(vectors), np.int64), False, groups=GROUP_OF)
    write_clusters(
        centroids._replace(**changes), Assignments(image_ids, nothing, nothing, nothing.astype(np.float32)), "kmeans"
    )


def fabricate(count: int = 5) -> tuple[ImageIndex, Any]:
    index, network = fabricate_images(count, (32, 50), held_out=1), fabricate_transformer()
    write_centroids(index.in_splits("train").image_ids)
    return index, network


def map_plainly(network: Any, image: torch.Tensor) -> np.ndarray:
    """(5, 5, 6) by the method's words: one backward pass of the whole network per class, one patch after the other."""
    attention, seen = network.blocks[-1].attn, {}
    attention.fused_attn = False
    hook = attention.attn_drop.register_forward_hook(lambda module, given, out: seen.update(shares=given[0]))
    token = network.forward_features(image[None])[:, 0]
    hook.remove()
    shares = seen["shares"][0].mean(0)[0, 1:].detach().numpy()
    maps = []
    for vector in VECTORS:
        loss = (1 - F.cosine_similarity(token, vector[None])).sum() / 8
        gradient = torch.autograd.grad(loss, seen["shares"], retain_graph=True)[0][0].mean(0)[0, 1:].numpy()
        drawn = np.maximum(-gradient, 0)
        total, cumulated, raised = drawn.sum(), 0.0, np.zeros_like(drawn)
        for patch in np.argsort(drawn):
            cumulated += drawn[patch]
            raised[patch] = drawn[patch] if cumulated > 0.2 * total else 0
        found = shares / shares.max() + raised
        found[gradient > 0] = 0
        maps.append(found.reshape(5, 6))
    return np.array(maps)


def test_maps_are_those_of_whole_backward_passes() -> None:
    index, network = fabricate()
    main(CONFIG)
    classes, labels = open_class_maps("pseudolabel"), open_label_maps("pseudolabel")
    assert classes.image_ids == labels.image_ids == index.in_splits("train").image_ids
    assert classes.classes == 5
    agree = []
    for position, image_id in enumerate(index.image_ids):
        if image_id not in labels:
            continue
        image = Image.open(f"data/{index[position].path}").resize((48, 40), Image.Resampling.BILINEAR)
        pixels = tv.normalize(tv.to_dtype(tv.to_image(image), torch.float32, scale=True), EXPECTS.mean, EXPECTS.std)
        expected, got = map_plainly(network, pixels), classes[image_id]
        assert (got.height, got.width) == (32, 50)
        terms = expected - got.base
        steps = np.where(expected > 0, terms, 0).max((1, 2), keepdims=True) / 254
        assert np.abs(got.spread(5) - expected).max() < 0.51 * steps.max() + 1e-5
        np.testing.assert_array_equal(got.spread(5) > 0, expected > 0)
        agree.append(labels[image_id].map == np.where(expected.any(0), expected.argmax(0) + 1, IGNORE))
    assert np.mean(agree) > 0.98


def test_a_worked_case() -> None:
    """Four patches, two classes; of the first class 1 + 2 + 7 the smallest is below a fifth, the next above it."""
    gradients = torch.tensor([[[[1.0, 2, 7, -3]], [[0.0, 0, 0, 4]]]])
    base, above = raise_attention(ClassGradients(torch.tensor([[[0.1, 0.2, 0.05, 0.4]]]), gradients), 4, 0.8)
    torch.testing.assert_close(base, torch.tensor([[[0.25, 0.5, 0.125, 1]]]))
    none = torch.nan
    expected = torch.tensor([[[[0, 0.5, 1.75, none]], [[0.0, 0, 0, 1]]]])
    torch.testing.assert_close(above, expected, equal_nan=True)
    apart = part_groups(base, above, torch.tensor([0, 1]))  # the mean of the attention is 0.47: two patches are above
    expected = torch.tensor([[[[none, 0.5, none, none]], [[0.0, none, 0, none]]]])
    torch.testing.assert_close(apart, expected, equal_nan=True)
    maps = ClassMaps("a", 1, 4, np.arange(2, dtype=np.uint16), apart[0].numpy(), base[0].numpy())
    assert decide(maps, 0).tolist() == [[2, 1, 2, IGNORE]]
    assert decide(maps, 0.3).tolist() == [[2, 1, 0, 0]]


def test_groups_are_kept_apart() -> None:
    fabricate()
    main(CONFIG.model_copy(update={"groups_apart": True, "background": 0.1}))
    for maps in open_class_maps("pseudolabel"):
        foreground = maps.base > maps.base.mean()
        counts = maps.spread(5) > 0
        assert not counts[:3][:, ~foreground].any()
        assert not counts[3:][:, foreground].any()
    assert IGNORE not in np.concatenate([np.unique(one.map) for one in open_label_maps("pseudolabel")])


def test_the_batch_that_gradients_are_divided_by_is_not_that_of_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate()
    main(CONFIG)
    eight = list(open_class_maps("pseudolabel"))
    monkeypatch.setattr(method, "PHOTOS", 2)
    main(CONFIG.model_copy(update={"gradient_batch": 2}))
    for one, other in zip(eight, open_class_maps("pseudolabel"), strict=True):
        np.testing.assert_allclose(one.base, other.base, rtol=1e-4)
        np.testing.assert_allclose(4 * one.above, other.above, rtol=0.02, atol=0.01 * np.nanmax(other.above))


def test_killed_and_resumed_the_bytes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "shard_ranges", lambda count: [range(0, 2), range(2, 4), range(4, count)])
    fabricate()
    main(CONFIG)
    undisturbed = hash_folder(Path("artifacts/pseudolabel"))
    assert len(list(Path("artifacts/pseudolabel/class_maps").iterdir())) == 5
    for name in ("write_class_shard", "write_shard"):  # killed before both files of a shard, and between them
        write, done = getattr(method, name), []

        def write_two(*arguments: Any, write: Any = write, done: list[Any] = done) -> None:
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(write(*arguments))

        monkeypatch.setattr(method, name, write_two)
        with pytest.raises(KeyboardInterrupt):
            main(CONFIG)
        monkeypatch.setattr(method, name, write)
        main(CONFIG)
        assert hash_folder(Path("artifacts/pseudolabel")) == undisturbed
        assert not list(Path(".checkpoints").rglob("part-*"))


def test_what_cannot_be_mapped_is_said_before_the_work() -> None:
    index = fabricate_images(3)
    write_centroids(index.image_ids)
    fabricate_backbone("attend")
    with pytest.raises(UserError, match="test_resnet has no class token"):
        main(CONFIG)
    fabricate_transformer()
    write_centroids(index.image_ids, VECTORS[:, :20])
    with pytest.raises(UserError, match="centroids have 20 channels, class tokens 24"):
        main(CONFIG)
    write_centroids(index.image_ids, space="whitened")
    with pytest.raises(UserError, match="its centroids are of whitened vectors"):
        main(CONFIG)
    write_centroids(index.image_ids, groups=None)
    with pytest.raises(UserError, match="the centroids have no groups; set cluster"):
        main(CONFIG.model_copy(update={"groups_apart": True}))
    write_centroids([])
    with pytest.raises(UserError, match="no photograph of the index was clustered"):
        main(CONFIG)
    assert not Path("artifacts/pseudolabel").exists()
