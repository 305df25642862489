"""The cluster of every region painted over its pixels: superpixels, or the salient object of a photograph.

Source: MaskContrast, section 4.4 (objects); ViCE, section 3 (superpixels).
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from stages.core.artifacts.clusters import Assignments
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import IGNORE, SALIENT, LabelMap, open_label_maps
from stages.core.artifacts.models import read_model
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.images.crops import resize_short_side
from stages.core.images.decode import UInt8
from stages.core.images.inference import iterate_batches
from stages.core.nets.objects import restore_objects
from stages.core.params import Params
from stages.core.progress import track

Regions = npt.NDArray[np.int64]


class RegionLabelConfig(Params):
    """The cluster of each pixel's region."""

    method: Literal["region"] = "region"
    supervision: Literal["images"] = "images"
    """What the labels come from; this method knows photographs only."""
    regions: Literal["superpixels", "saliency_maps", "saliency_head"] = "superpixels"
    """What the ids of regions mean: the maps of the stage superpixels; or 1 the salient object, 0 what is around it, as
    the maps of the stage saliency or the model's own saliency head have it. Must be what `extract` described."""
    outside: Literal["background", "ignore"] = "background"
    """What becomes of pixels whose region has no cluster."""
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to for the saliency head, and the size of the labels then."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Saliency of the head from which on a pixel is the object's."""

    def label(self, index: ImageIndex, assignments: Assignments) -> Iterator[LabelMap]:
        """The maps of all photographs that have a region with a cluster, in the index's order.

        Raises:
            UserError: What was clustered is not the superpixels.
        """
        clusters: dict[str, dict[int, int]] = defaultdict(dict)
        rows = zip(assignments.image_ids, assignments.region_ids, assignments.cluster_ids, strict=True)
        for image_id, region, cluster in rows:
            clusters[image_id][int(region)] = int(cluster)
        clustered = index.among(clusters)
        for position, regions in self._read_regions(clustered):
            photo = clustered[position]
            self._check_regions(photo.image_id, regions, clusters[photo.image_id])
            label = self._paint(regions, clusters[photo.image_id])
            yield LabelMap(photo.image_id, photo.height, photo.width, label)

    def prepare(self, image: UInt8) -> UInt8:
        """Resize a photograph to the side that the saliency head sees it at."""
        return resize_short_side(image, self.short_side)

    def _read_regions(self, index: ImageIndex) -> Iterator[tuple[int, Regions]]:
        if self.regions == "saliency_head":
            return self._find_objects(index)
        maps = open_label_maps("superpixels" if self.regions == "superpixels" else "saliency")
        stored = (np.asarray(maps[image_id].map, np.int64) for image_id in track(index.image_ids, label="regions"))
        if self.regions == "saliency_maps":
            stored = ((each >= SALIENT).astype(np.int64) for each in stored)
        return enumerate(stored)

    def _find_objects(self, index: ImageIndex) -> Iterator[tuple[int, Regions]]:
        card, states = read_model("attend", ["saliency"])
        network, device = restore_objects(card, states).to(inference_device()).eval(), inference_device()
        with torch.inference_mode():
            for seen in track(
                iterate_batches(index, self.prepare, card["input"], device, 1), len(index), label="regions"
            ):
                salient = torch.sigmoid(network(seen.images).salient[0]) >= self.threshold
                yield seen.positions[0], salient.cpu().numpy().astype(np.int64)

    def _check_regions(self, image_id: str, regions: Regions, clusters: dict[int, int]) -> None:
        if self.regions == "superpixels" and max(clusters) > (last := int(regions.max())):
            raise UserError(
                f"pseudolabel.regions: superpixels, but of {image_id} region {max(clusters)} was clustered, its last "
                f"superpixel is {last}; set extract.regions: superpixels (labels cannot be painted from sampled pixels)"
            )

    def _paint(self, regions: Regions, clusters: dict[int, int]) -> npt.NDArray[np.uint16]:
        outside = 0 if self.outside == "background" else IGNORE
        label = np.full(max(int(regions.max()), *clusters) + 1, outside, np.uint16)  # by region
        label[list(clusters)] = np.array(list(clusters.values())) + 1
        return np.asarray(label[regions])
