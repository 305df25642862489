"""True masks as labels: ids as drawn, what does not count ignored, a share drawn by the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artifacts.label_maps import IGNORE, open_label_maps
from stages.core.artifacts.labels import Label, write_labels
from stages.core.errors import UserError
from stages.core.png_files import encode_png
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.methods.masks.config import TrueMaskLabelConfig
from tests.fabricate import fabricate_clusters, fabricate_images


def fabricate(masked: int) -> Any:
    index = fabricate_images(20, held_out=2)
    fabricate_clusters([0] * 20, index.in_splits("train").image_ids, 2)
    mask = np.zeros((32, 32, 3), np.uint8)
    mask[:8, :, 0] = 2
    mask[8:10] = (232, 3, 0)  # 1000
    mask[10:12, :, 0] = 9  # no class of this set
    Path("data/mask.png").write_bytes(encode_png(mask))
    with_masks = {*index.in_splits("train").image_ids[:masked], *index.in_splits("validation").image_ids}
    labels = [Label(one, "mask.png" if one in with_masks else None, None, None) for one in index.image_ids]
    write_labels(labels, {1: "a", 2: "b"}, [], "folder")
    return index


def test_ids_stay_and_what_does_not_count_is_ignored() -> None:
    index = fabricate(masked=12)
    main(TrueMaskLabelConfig())
    maps = open_label_maps("pseudolabel")
    assert maps.image_ids == index.in_splits("train").image_ids[:12]
    found = np.asarray(maps[maps.image_ids[0]].map)
    assert set(found[:8].ravel()) == {2}
    assert set(found[8:12].ravel()) == {IGNORE}
    assert set(found[12:].ravel()) == {0}


def test_a_share_is_drawn_by_the_seed() -> None:
    fabricate(masked=12)
    drawn = []
    for seed in (0, 0, 1):
        main(TrueMaskLabelConfig(share=0.25, seed=seed))
        drawn.append(open_label_maps("pseudolabel").image_ids)
    assert [len(each) for each in drawn] == [3, 3, 3]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(each == sorted(each) for each in drawn)


def test_no_mask_in_train_is_said() -> None:
    fabricate(masked=0)
    with pytest.raises(UserError, match="no photograph of the train split has a mask"):
        main(TrueMaskLabelConfig())
