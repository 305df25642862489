"""Photographs for networks that only look: in order, normalized, whatever the number of processes."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from stages.core.image_files import UInt8
from stages.core.images.crops import resize_short_side
from stages.core.images.inference import iterate_batches, normalize
from tests.fabricate import EXPECTS, fabricate_images


def halve(image: UInt8) -> UInt8:
    return resize_short_side(image, 16)


def test_photographs_come_in_order_and_normalized() -> None:
    index = fabricate_images(5)
    batches = list(iterate_batches(index, halve, EXPECTS, torch.device("cpu"), 2))
    assert [batch.positions for batch in batches] == [[0, 1], [2, 3], [4]]
    for batch in batches:
        for position, image in zip(batch.positions, batch.images, strict=True):
            small = tv.resize(Image.open(f"data/{index[position].path}"), [16], antialias=True)
            expected = tv.normalize(tv.to_dtype(tv.to_image(small), scale=True), EXPECTS.mean, EXPECTS.std)
            torch.testing.assert_close(image, expected, rtol=1e-5, atol=1e-5)


def test_normalized_images_lie_channels_last() -> None:
    pixels = torch.from_numpy(np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5))
    images = normalize(pixels, EXPECTS)
    assert images.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(images, tv.normalize(pixels.float() / 255, EXPECTS.mean, EXPECTS.std))
