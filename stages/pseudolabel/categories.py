"""Label maps whose categories a person has made of the clusters."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.categories import COUNT_FILE, Clusters, cut_as_configured
from stages.core.artifacts.label_maps import IGNORE, LabelMap, write_label_maps
from stages.core.artifacts.shards import ARTIFACTS, atomic_out, encode_json, shard_paths, write_atomically
from stages.core.config.categories import CategoriesConfig


def write_categories(
    method: str, config: CategoriesConfig, clusters: Clusters, label: Callable[[Clusters], Iterator[LabelMap]]
) -> None:
    """Write `artifacts/pseudolabel`, and beside the maps how many numbers there are.

    Args:
        method: The stage's method.
        config: What becomes of the clusters.
        clusters: As they are.
        label: The maps of clusters that are cut.
    """
    cut = cut_as_configured(clusters, config)
    table = config.resolve(len(clusters.centroids.embeddings)).label
    maps = (each._replace(map=relabel(each.map, table)) for each in label(cut))
    count = encode_json({"categories": len(table) - 1})
    with atomic_out(ARTIFACTS / "pseudolabel", "label_maps", "pseudolabel", method) as out:
        with TemporaryDirectory(dir=out) as work:
            write_label_maps("pseudolabel", method, maps, Path(work) / "maps")
            for path in shard_paths(Path(work) / "maps"):
                path.rename(out / path.name)
        write_atomically(out / COUNT_FILE, count)


def relabel(found: npt.NDArray[np.generic], table: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """The category of each number of a map (h, w); what is ignored stays so."""
    ignored = found == IGNORE
    return np.where(ignored, np.uint16(IGNORE), table[np.where(ignored, 0, found)])
