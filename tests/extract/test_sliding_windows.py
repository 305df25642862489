"""Windows, foreground and class tokens of windows against loops and timm's own network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from stages.cluster.methods.kmeans import KMeansConfig
from stages.core.artifacts.features import read_features
from stages.core.artifacts.image_index import ImageIndex
from stages.core.errors import UserError
from stages.core.hashing import hash_files
from stages.extract.__main__ import main
from stages.extract.methods.sliding_windows import method
from stages.extract.methods.sliding_windows.config import SlidingWindowsConfig
from stages.extract.methods.sliding_windows.windows import foreground_shares, slide_windows, sort_windows
from tests.fabricate import EXPECTS, fabricate_backbone, fabricate_images, fabricate_transformer
from tests.tiny_transformers import transformer

CONFIG = SlidingWindowsConfig(size=(64, 80), window=40, scales=(0.75, 0.5), object_share=0.55, surroundings_share=0.5)


def test_the_papers_windows_are_142_on_a_square() -> None:
    """Of 80 x 80 patches: 3 x 3 of 40, 4 x 4 of 32, 6 x 6 of 24 of which the last end at the border, 9 x 9 of 16."""
    windows = slide_windows((80, 80), (0.5, 0.4, 0.3, 0.2), 0.5)
    assert len(windows) == 142
    assert windows[:4].tolist() == [[0, 0, 40], [0, 20, 40], [0, 40, 40], [20, 0, 40]]
    assert windows[9 + 16 : 9 + 16 + 6].tolist() == [[0, left, 24] for left in (0, 12, 24, 36, 48, 56)]
    assert len(slide_windows((40, 40), (0.5, 0.4, 0.3, 0.2), 0.5)) == 142
    assert slide_windows((4, 4), (1.0,), 0.5).tolist() == [[0, 0, 4]]
    assert slide_windows((1, 3), (0.2,), 0.5).tolist() == [[0, 0, 1], [0, 1, 1], [0, 2, 1]]


@pytest.mark.parametrize("grid", [(7, 12), (9, 9), (30, 11)])
def test_windows_cover_the_grid_and_shares_are_counted(grid: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(grid) < 0.4
    windows = slide_windows(grid, (1.0, 0.6, 0.35, 0.01), 0.4)
    covered = np.zeros(grid, int)
    for (top, left, side), share in zip(windows, foreground_shares(mask, windows), strict=True):
        inside = mask[top : top + side, left : left + side]
        assert inside.shape == (side, side)
        assert share == inside.mean()
        covered[top : top + side, left : left + side] += 1
    assert covered.min() >= 4
    assert len({tuple(window) for window in windows.tolist()}) == len(windows)


def test_a_window_shows_an_object_surroundings_or_neither() -> None:
    shares = np.array([0, 0.19, 0.2, 0.3, 0.5, 0.51, 1])
    assert sort_windows(shares, 0.5, 0.8).tolist() == [1, 1, -1, -1, -1, 0, 0]


def see_plainly(index: ImageIndex, position: int) -> torch.Tensor:
    """(3, 64, 80) normalized."""
    image = Image.open(f"data/{index[position].path}").resize((80, 64), Image.Resampling.BILINEAR)
    return tv.normalize(tv.to_dtype(tv.to_image(image), torch.float32, scale=True), EXPECTS.mean, EXPECTS.std)


def describe_plainly(plain: torch.nn.Module, image: torch.Tensor) -> dict[int, tuple[str, torch.Tensor]]:
    """Group and class token by the number of the window, one window after the other."""
    seen: dict[str, torch.Tensor] = {}
    plain.blocks[-1].attn.fused_attn = False
    hook = plain.blocks[-1].attn.attn_drop.register_forward_hook(lambda module, given, out: seen.update(shares=out))
    plain.forward_features(image[None])
    hook.remove()
    attention = seen["shares"][0].mean(0)[0, 1:].reshape(8, 10)
    foreground, found = attention > attention.mean(), {}
    sides = [6] * 6 + [4] * 12
    corners = [(top, left) for top in (0, 2) for left in (0, 3, 4)]
    corners += [(top, left) for top in (0, 2, 4) for left in (0, 2, 4, 6)]
    for number, (side, (top, left)) in enumerate(zip(sides, corners, strict=True)):
        share = foreground[top : top + side, left : left + side].float().mean()
        if share > 0.55 or share < 0.5:
            crop = image[:, 8 * top : 8 * (top + side), 8 * left : 8 * (left + side)]
            token = plain.forward_features(tv.resize(crop, [40, 40], antialias=True)[None])[0, 0]
            found[number] = ("object" if share > 0.55 else "surroundings", token)
    return found


def test_rows_are_class_tokens_of_the_windows_that_are_kept() -> None:
    index, network = fabricate_images(6, (48, 60)), fabricate_transformer()
    plain = timm.create_model("tiny_patch8", dynamic_img_size=True, num_classes=0).eval()
    plain.load_state_dict(network.state_dict())
    main(CONFIG)
    rows = read_features()
    groups = set()
    for position, image_id in enumerate(index.image_ids):
        own = [number for number, one in enumerate(rows.image_ids) if one == image_id]
        with torch.no_grad():
            expected = describe_plainly(plain, see_plainly(index, position))
        assert [rows.region_ids[row] - 1 for row in own] == list(expected)
        for row, (group, token) in zip(own, expected.values(), strict=True):
            assert ("object", "surroundings")[rows.groups[row]] == group
            np.testing.assert_allclose(rows.embeddings[row], token, rtol=1e-3, atol=1e-4)
            groups.add(group)
    assert groups == {"object", "surroundings"}
    second = rows.region_ids == 2  # six patches of 10 x 8, from the third column on
    np.testing.assert_allclose(rows.boxes[second], [[0.3, 0, 0.6, 0.75]] * second.sum(), rtol=1e-6)
    assert set(rows.areas[second]) == {round(0.6 * 0.75 * 48 * 60)}


def test_windows_of_objects_only_and_all_of_them() -> None:
    index, _ = fabricate_images(3), fabricate_transformer()
    main(CONFIG)
    both = read_features()
    main(CONFIG.model_copy(update={"kept": "objects"}))
    np.testing.assert_array_equal(read_features().region_ids, both.region_ids[both.groups == 0])
    assert set(read_features().groups) == {0}
    main(CONFIG.model_copy(update={"kept": "all", "dtype": "float16"}))
    everything = read_features()
    assert everything.groups is None
    assert everything.region_ids.tolist() == [*range(1, 19)] * len(index)
    with pytest.raises(UserError, match="the vectors have no groups"):
        KMeansConfig.model_validate({"k": None, "groups": {"object": 2}}).cluster(everything, index, Path("work"))


def test_killed_and_resumed_the_bytes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate_images(11)
    fabricate_transformer()
    main(CONFIG)
    undisturbed = hash_files(sorted(Path("artifacts/extract").iterdir()))
    assert len(undisturbed) == 4  # shards of 4, 4 and 3, and the manifest
    write, done = method.write_feature_shard, []

    def write_two(*arguments: object) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments[0])
        write(*arguments)

    monkeypatch.setattr(method, "write_feature_shard", write_two)
    with pytest.raises(KeyboardInterrupt):
        main(CONFIG)
    monkeypatch.setattr(method, "write_feature_shard", lambda *given: (done.append(given[0]), write(*given)))
    main(CONFIG)
    assert [path.name for path in done] == [f"part-0000{number}.parquet" for number in range(3)]
    assert hash_files(sorted(Path("artifacts/extract").iterdir())) == undisturbed


def test_what_cannot_be_described_is_said_before_the_work(capfd: pytest.CaptureFixture[str]) -> None:
    fabricate_images(3, (32, 15))
    fabricate_backbone("attend")
    with pytest.raises(UserError, match="test_resnet has no class token"):
        main(CONFIG)
    fabricate_transformer(name="tiny_patch8_without_class_token")
    with pytest.raises(UserError, match="has no class token"):
        main(CONFIG)
    fabricate_transformer()
    with pytest.raises(UserError, match="no window of 3 photographs is kept"):
        main(CONFIG)
    told = "15x32 pixels: a window of scale 0.5 is smaller than a patch of 8 pixels"
    assert capfd.readouterr().err.count(told) == 3
    assert not Path("artifacts/extract").exists()


def test_every_kind_of_transformer_gives_windows() -> None:
    fabricate_images(2)
    for name in ("tiny_patch14_reg4", "tiny_patch16_rope"):
        fabricate_transformer(name=name)
        main(CONFIG)
        assert np.isfinite(read_features().embeddings).all()
        assert transformer(name).num_prefix_tokens == 5
