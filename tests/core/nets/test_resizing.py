"""Averaging over areas and bilinear enlarging against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stages.core.nets.resizing import average_areas, enlarge_by_products


@pytest.mark.parametrize("size", [(8, 9), (4, 3), (13, 18), (7, 5), (1, 1)])
def test_it_is_torchs_area_with_its_gradient(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 16, 18, requires_grad=True)
    expected = F.interpolate(maps, size, mode="area")
    shrunk = average_areas(maps, size)
    torch.testing.assert_close(shrunk, expected)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((result * weights).sum(), maps)[0] for result in (shrunk, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("size", [(16, 18), (32, 36), (41, 57), (113, 90), (16, 19)])
def test_two_products_are_torchs_bilinear_with_its_gradient(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 16, 18, requires_grad=True)
    expected = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    enlarged = enlarge_by_products(maps, size)
    torch.testing.assert_close(enlarged, expected, atol=2e-5, rtol=1e-5)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((result * weights).sum(), maps)[0] for result in (enlarged, expected)]
    torch.testing.assert_close(*gradients, atol=2e-4, rtol=1e-4)
