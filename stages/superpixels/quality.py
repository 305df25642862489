"""How well regions follow the outlines of masks; a diagnostic that no stage depends on.

`python -m stages.superpixels.quality --images DIR --masks DIR` cuts the photographs of a folder with the method of
params.yaml and prints the means. Masks lie under the same relative paths, as PNG in ImageNet-S's format.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.cli import guard
from stages.core.config.params import PARAMS_FILE, load_section
from stages.core.data import IGNORE_ID, IMAGE_SUFFIXES
from stages.core.errors import UserError
from stages.core.image_files import read_image
from stages.core.png_files import read_mask
from stages.core.progress import track
from stages.superpixels import Config
from stages.superpixels.regions import RegionMethod

_TOLERANCE = 2


class Quality(NamedTuple):
    """Measures of one photograph's regions; shares of 1."""

    boundary_recall: float
    """Of the mask's boundary pixels, how many have a region boundary near; NaN where the mask has no boundary."""
    undersegmentation_error: float
    """Pixels that leak over the mask's outlines."""
    compactness: float
    """Area-weighted roundness of the regions; 1 for discs, 0.79 for squares."""
    region_count: float
    """Regions."""


def measure_quality(regions: NDArray[np.integer], mask: NDArray[np.integer], tolerance: int = _TOLERANCE) -> Quality:
    """Measure regions (H, W), ids from 1, on a mask (H, W) of any ids.

    Args:
        regions: As a method cuts them.
        mask: Pixels of value `IGNORE_ID` count in no error; an outline that runs through them is taken in their middle.
        tolerance: Chebyshev distance at which boundaries still meet. Unit: pixels.
    """
    known = mask != IGNORE_ID
    recall = measure_boundary_recall(regions, _fill_unknown(mask), tolerance)
    error = measure_undersegmentation(regions[known], mask[known])
    return Quality(recall, error, measure_compactness(regions), len(np.unique(regions)))


def measure_boundary_recall(regions: NDArray[np.integer], mask: NDArray[np.integer], tolerance: int) -> float:
    """Share of the mask's boundary pixels with a region boundary within `tolerance`; NaN without any.

    Source: Martin et al., "Learning to Detect Natural Image Boundaries", TPAMI 2004, as used for superpixels by
    Neubert and Protzel, "Superpixel Benchmark and Comparison", 2012.
    """
    side = 2 * tolerance + 1
    wanted = find_boundaries(mask)
    near = cv2.dilate(find_boundaries(regions).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return float(near[wanted].mean()) if wanted.any() else float("nan")


def measure_undersegmentation(regions: NDArray[np.integer], mask: NDArray[np.integer]) -> float:
    """Every region's smaller side of each segment of the mask that it overlaps, over all pixels.

    Source: Neubert and Protzel, "Superpixel Benchmark and Comparison", 2012, equation 3.
    """
    if not mask.size:
        return 0.0
    _, region = np.unique(regions, return_inverse=True)
    _, segment = np.unique(mask, return_inverse=True)
    overlap = np.zeros((region.max() + 1, segment.max() + 1), np.int64)
    np.add.at(overlap, (region.ravel(), segment.ravel()), 1)
    outside = overlap.sum(axis=1, keepdims=True) - overlap
    return float(np.minimum(overlap, outside).sum() / mask.size)


def measure_compactness(regions: NDArray[np.integer]) -> float:
    """Area-weighted mean of 4 pi area / perimeter^2, with the perimeter in pixel edges.

    Source: Schick et al., "Measuring and Evaluating the Compactness of Superpixels", ICPR 2012, equation 2.
    """
    _, flat = np.unique(regions, return_inverse=True)
    ids = np.pad(flat.reshape(regions.shape), 1, constant_values=-1)
    perimeters = np.zeros(flat.max() + 1, np.int64)
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        at_edge = (ids != np.roll(ids, shift, (0, 1))) & (ids >= 0)
        perimeters += np.bincount(ids[at_edge], minlength=len(perimeters))
    areas = np.bincount(flat.ravel())
    return float((areas * 4 * np.pi * areas / np.square(perimeters)).sum() / regions.size)


def find_boundaries(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels (H, W) with a 4-neighbor of another label, on both sides of a boundary."""
    boundary = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    boundary[:, 1:] |= across
    boundary[:, :-1] |= across
    boundary[1:] |= down
    boundary[:-1] |= down
    return boundary


def _fill_unknown(mask: NDArray[np.integer]) -> NDArray[np.integer]:
    """Give ignored pixels the label of the nearest other one."""
    unknown = mask == IGNORE_ID
    if not unknown.any() or unknown.all():
        return mask
    _, nearest = cv2.distanceTransformWithLabels(
        unknown.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the known pixels from 1 in its own order: read the table off the known pixels themselves.
    table = np.zeros(nearest.max() + 1, mask.dtype)
    table[nearest[~unknown]] = mask[~unknown]
    return np.asarray(table[nearest])


def mean_quality(measured: list[Quality]) -> Quality:
    """Means over photographs; recall over those whose mask has a boundary."""
    table = np.array(measured, float)
    known = ~np.isnan(table[:, 0])
    recall = float(table[known, 0].mean()) if known.any() else float("nan")
    error, compactness, region_count = table[:, 1:].mean(axis=0).tolist()
    return Quality(recall, error, compactness, region_count)


def _measure_folder(method: RegionMethod, images: Path, masks: Path) -> Iterator[Quality]:
    photos = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    pairs = [(photo, masks / photo.relative_to(images).with_suffix(".png")) for photo in photos]
    pairs = [(photo, mask) for photo, mask in pairs if mask.exists()]
    if not pairs:
        raise UserError(f"{masks}: no mask of any photograph in {images}; expected the same paths with suffix .png")
    for photo, mask in track(pairs, label="quality"):
        regions, truth = method.compute(read_image(photo)), read_mask(mask)
        size = (regions.shape[1], regions.shape[0])
        yield measure_quality(regions, cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST))


def main() -> None:
    """Measure the method of params.yaml on a folder of photographs and their masks."""
    parser = argparse.ArgumentParser(prog="python -m stages.superpixels.quality", description=main.__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument(
        "--masks", type=Path, required=True, help="folder of masks, each at the relative path of its photograph"
    )
    parser.add_argument(
        "--params",
        type=Path,
        default=PARAMS_FILE,
        help="YAML file whose section 'superpixels' holds the method (default: %(default)s)",
    )
    args = parser.parse_args()
    method = load_section("superpixels", Config, args.params)
    if not isinstance(method, RegionMethod):
        raise UserError(f"{args.params}: superpixels.method = {method.method!r} cuts nothing to measure")
    for name, value in mean_quality(list(_measure_folder(method, args.images, args.masks)))._asdict().items():
        print(f"{name}: {value:.4f}")


if __name__ == "__main__":
    sys.exit(guard("superpixels.quality", main))
