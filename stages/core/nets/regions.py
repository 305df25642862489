"""Mean features of image regions, without enlarging the feature map to the image's size."""

import torch
from torch import Tensor


def region_means(features: Tensor, regions: Tensor, count: int, align_corners: bool = False) -> Tensor:
    """The mean over each region of the features enlarged bilinearly to the regions' size.

    Enlarging and averaging are both linear, so they become one sparse matrix with few entries per region: the enlarged
    map, which at 256 pixels and 128 channels holds 32 MB an image, is not needed. The matrix is applied entry by entry,
    which torch does in one order on a GPU too, unlike `torch.sparse.mm`.

    Args:
        features: (B, D, h, w)
        regions: (B, H, W) number of each pixel's region over the batch, from 0; -1 for none.
        count: R, numbers of regions; each must have a pixel.
        align_corners: Enlarge so that the corners' centers stay where they are, as `F.interpolate` has it.

    Returns:
        (R, D) float32.
    """
    entries = _weigh(features, regions, count, align_corners)
    (region, cell), weights = entries.indices(), entries.values()
    with torch.autocast(features.device.type, enabled=False):
        cells = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]).float()
        parts = cells.index_select(0, cell) * weights[:, None]
        return cells.new_zeros(count, features.shape[1]).index_add(0, region, parts)


def _weigh(features: Tensor, regions: Tensor, count: int, align_corners: bool) -> Tensor:
    """The sparse matrix (R, B h w) of what each cell of the map adds to each region's mean."""
    size = features.shape[-2:]
    image, y, x = (regions >= 0).nonzero(as_tuple=True)
    region = regions[image, y, x].long()
    share = 1 / torch.bincount(region, minlength=count).to(torch.float32)[region]
    rows = _taps(size[0], regions.shape[1], y, align_corners)
    columns = _taps(size[1], regions.shape[2], x, align_corners)
    entries = [
        (((image * size[0] + row) * size[1] + column), by_row * by_column * share)
        for row, by_row in rows
        for column, by_column in columns
    ]
    indices = torch.stack([region.repeat(len(entries)), torch.cat([cell for cell, _ in entries])])
    shape = (count, len(features) * size[0] * size[1])
    weights = torch.cat([weight for _, weight in entries])
    return torch.sparse_coo_tensor(indices, weights, shape, check_invariants=False).coalesce()


def _taps(small: int, large: int, places: Tensor, align_corners: bool) -> list[tuple[Tensor, Tensor]]:
    """The two cells that each enlarged place is made of along one axis, and their weights."""
    if align_corners:
        source = places * ((small - 1) / max(large - 1, 1))
    else:
        source = ((places + 0.5) * (small / large) - 0.5).clamp(0, small - 1)
    low = source.floor()
    by_high = (source - low).to(torch.float32)
    return [(low.long(), 1 - by_high), ((low.long() + 1).clamp(max=small - 1), by_high)]
