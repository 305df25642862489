"""One label per photograph: its cluster, as a 1x1 map."""

from collections.abc import Iterator

import numpy as np

from stages.core.artifacts.clusters import Assignments
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap


def label(index: ImageIndex, assignments: Assignments) -> Iterator[LabelMap]:
    """A 1x1 map of every photograph that was clustered as a whole."""
    rows = zip(assignments.image_ids, assignments.region_ids, assignments.cluster_ids, strict=True)
    cluster_of = {image_id: cluster for image_id, region, cluster in rows if region == 0}
    for position in range(len(index)):
        photo = index[position]
        if photo.image_id in cluster_of:
            found = np.array([[cluster_of[photo.image_id] + 1]], np.uint16)
            yield LabelMap(photo.image_id, photo.height, photo.width, found)
