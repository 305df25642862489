"""TokenCut against SciPy's generalized eigenvectors, graphs cut by hand, and timm's own network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.linalg import eigh
from torch.nn import functional as F

from stages.core.artifacts.image_index import Photo, read_images, write_images
from stages.core.artifacts.label_maps import SALIENT, open_label_maps
from stages.core.config.networks import BackboneConfig, TransformerConfig
from stages.core.config.weights import WeightsFile
from stages.core.errors import UserError
from stages.saliency.__main__ import main
from stages.saliency.methods.token_cut import TokenCutConfig
from stages.saliency.normalized_cut.patch_graph import CutSettings, cut_out_object, link, orient, second_eigenvector
from tests.fabricate import fabricate_images, project
from tests.tiny_transformers import transformer

__all__ = ["project"]

FOUND_BY_HAND = CutSettings(is_centered=False)


def draw_vectors(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*shape, 5)).astype(np.float32)


def paint(mask: np.ndarray) -> np.ndarray:
    """Vectors of two kinds, at right angles to each other."""
    return np.where(mask[..., None], np.float32([1, 0]), np.float32([0, 2]))


def test_the_eigenvector_solves_the_generalized_problem() -> None:
    weights = np.where(link(draw_vectors((6, 7)).reshape(42, 5), 0.2), 1.0, 1e-5)
    degrees = np.diag(weights.sum(1))
    _, solutions = eigh(degrees - weights, degrees)
    found, wanted = second_eigenvector(weights), solutions[:, 1]
    np.testing.assert_allclose(found / np.linalg.norm(found), np.sign(found @ wanted) * wanted / np.linalg.norm(wanted))


def test_two_blocks_are_parted_and_the_smaller_is_the_object() -> None:
    block = np.zeros((6, 8), bool)
    block[2:4, 3:6] = True
    np.testing.assert_allclose(cut_out_object(paint(block), FOUND_BY_HAND), block, atol=1e-6)


def test_half_divides_as_the_mean_of_the_eigenvector_does() -> None:
    vectors = draw_vectors((7, 9))
    centered = vectors - vectors.mean((0, 1))
    weights = np.where(link(centered.reshape(63, 5), 0.2), 1.0, 1e-5)
    y = orient(second_eigenvector(weights).reshape(7, 9), 2)
    found = cut_out_object(vectors, CutSettings())
    assert (found >= 0.5).sum() > 1
    assert (y[found >= 0.5] > y.mean()).all()
    assert (found.min(), found.max()) == (0, 1)
    apart = (y > y.mean()) & (found < 0.5)
    assert (found[apart] == np.float32(0.49)).all()


def test_what_does_not_touch_the_object_is_not_the_object() -> None:
    mask = np.zeros((6, 9), bool)
    mask[2:4, 2:5], mask[2:4, 6:8] = True, True
    found = cut_out_object(paint(mask), FOUND_BY_HAND)
    assert sorted([found[2, 2], found[2, 6]]) == [np.float32(0.49), 1], "both are of one kind: either may be it"
    assert found[~mask].max() < 1e-6


@pytest.mark.parametrize(("corners", "is_inverted"), [(4, False), (2, True)])
def test_a_side_with_too_many_corners_is_the_background(corners: int, is_inverted: bool) -> None:
    frame = np.ones((7, 7), bool)
    frame[1:, 1:6] = False  # narrower than what it surrounds: its eigenvector is the longer one
    found = cut_out_object(paint(frame), FOUND_BY_HAND._replace(corners=corners)) >= 0.5
    np.testing.assert_array_equal(found, ~frame if is_inverted else frame)


def test_nothing_stands_out_where_all_patches_are_alike_or_none_are() -> None:
    for vectors in (np.ones((4, 5, 3), np.float32), np.full((4, 5, 3), 0.1, np.float32)):
        assert not cut_out_object(vectors, CutSettings()).any()
        assert not cut_out_object(vectors, FOUND_BY_HAND).any()
    assert not cut_out_object(np.eye(12, dtype=np.float32).reshape(3, 4, 12), FOUND_BY_HAND).any()


def test_centering_changes_nothing_of_vectors_that_share_a_part() -> None:
    vectors = draw_vectors((6, 7))
    np.testing.assert_allclose(
        cut_out_object(vectors + 30, CutSettings()), cut_out_object(vectors, CutSettings()), atol=1e-3
    )
    assert not cut_out_object(vectors + 30, FOUND_BY_HAND).any(), "or all cosines are near 1"


def configure(name: str, **values: Any) -> TokenCutConfig:
    """TokenCut with the weights of a small transformer, in a file."""
    save_file(transformer(name).state_dict(), "net.safetensors")
    digest = hashlib.sha256(Path("net.safetensors").read_bytes()).hexdigest()
    weights = WeightsFile(path="net.safetensors", sha256=digest, origin="self_supervised_elsewhere")
    return TokenCutConfig(weights=weights, backbone=BackboneConfig(name=name), **values)


def cut_plainly(name: str, image: np.ndarray) -> np.ndarray:
    """Which patches of a photograph of whole patches are salient, by timm's network and a dense solver."""
    network, seen = transformer(name), {}
    network.blocks[-1].attn.qkv.register_forward_hook(lambda module, given, qkv: seen.update(qkv=qkv))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = ((torch.from_numpy(image.copy()) / 255 - mean) / std).permute(2, 0, 1)[None]
    with torch.no_grad():
        network.forward_features(pixels)
    keys = seen["qkv"][0, network.num_prefix_tokens :].chunk(3, 1)[1]
    keys = F.normalize(keys - keys.mean(0), dim=1).double()
    weights = np.where(keys @ keys.T > 0.2, 1.0, 1e-5)
    degrees = np.diag(weights.sum(1))
    y = eigh(degrees - weights, degrees)[1][:, 1].reshape(image.shape[0] // 8, image.shape[1] // 8)
    return np.asarray((y > y.mean()) == (y.ravel()[np.abs(y).argmax()] > y.mean()))


def test_the_stage_cuts_photographs_as_timm_and_scipy_do(project: Path) -> None:
    index = fabricate_images(6, (48, 64))
    config = configure("tiny_patch8", side=64, corners=4)
    main(config)
    maps = open_label_maps("saliency")
    assert maps.image_ids == index.image_ids
    for position, image_id in enumerate(index.image_ids):
        side = cut_plainly("tiny_patch8", index.read(position))
        [scores] = config.score([index.read(position)])
        assert side[scores >= 0.5].all()
        assert maps[image_id].map.shape == (48, 64)
        assert (maps[image_id].map >= SALIENT).any()
        at_patches = scores.repeat(8, 0).repeat(8, 1)[4::8, 4::8]
        assert ((at_patches >= 0.5) & side).any()


def test_a_batch_of_several_sizes_is_cut_as_each_alone(project: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in ((48, 64), (64, 48), (48, 64), (30, 90))]
    config = configure("tiny_patch14_reg4", side=56, threshold=0.5, min_area=0.0)
    for together, image in zip(config.compute(images), images, strict=True):
        [alone] = config.compute([image])
        np.testing.assert_array_equal(together, alone)
        assert set(np.unique(alone)) <= {0, 255}


def test_a_photograph_smaller_than_a_patch_is_left_out_and_named(project: Path, capsys: Any) -> None:
    index = fabricate_images(3)
    Image.new("RGB", (40, 9)).save("data/thin.png")
    thin = Photo("thin", "train", "thin.png", 9, 40, Path("data/thin.png").stat().st_size, "0" * 64)
    write_images([*(index[n] for n in range(3)), thin], [], "folder")
    main(configure("tiny_patch14", side=56))
    assert open_label_maps("saliency").image_ids == index.image_ids
    assert "skipped: thin: 40x9 pixels are smaller than a patch of 14" in capsys.readouterr().err
    assert len(read_images()) == 4


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"backbone": BackboneConfig(name="test_resnet")}, "saliency.backbone.name = test_resnet: has no keys"),
        ({"backbone": BackboneConfig(name="tiny_patch8"), "block": 7}, "block 7, but tiny_patch8 has blocks 0 to 2"),
        (
            {"weights": WeightsFile(path="gone.pth", sha256="0", origin="self_supervised_split")},
            "gone.pth: no such file",
        ),
    ],
)
def test_what_is_wrong_with_the_network_is_said_before_the_work(
    project: Path, values: dict[str, Any], said: str
) -> None:
    fabricate_images(3)
    with pytest.raises(UserError, match=said):
        main(TokenCutConfig(**{"backbone": BackboneConfig(name="tiny_patch8"), **values}))
    assert not Path("artifacts/saliency").exists()


def test_the_backbones_own_blocks_and_facet_stand_back() -> None:
    own = TransformerConfig(blocks=(0, 1), facet="tokens", positions="dino")
    config = TokenCutConfig(backbone=BackboneConfig(name="tiny_patch8", transformer=own), block=2)
    assert config.described_backbone.transformer == own.model_copy(update={"blocks": (2,), "facet": "keys"})
