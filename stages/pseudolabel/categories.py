"""Label maps whose categories a person has made of the clusters."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.categories import COUNT_FILE, Clusters, cut_as_configured
from stages.core.artifacts.label_maps import IGNORE, LabelMap, write_label_maps
from stages.core.artifacts.shards import ARTIFACTS, atomic_out, encode_json, shard_paths, write_atomically
from stages.core.config.categories import CategoriesConfig
from stages.core.label_mapping import Job, LabelPlan, map_labels
from stages.core.network_mapping import Compute, Shard


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


def map_categories(
    job: Job, config: CategoriesConfig, clusters: Clusters, make_plan: Callable[[Clusters], LabelPlan]
) -> None:
    """As `write_categories`, of maps that workers make.

    Args:
        job: The stage's method.
        config: What becomes of the clusters.
        clusters: As they are.
        make_plan: How photographs get the labels of clusters that are cut.
    """
    plan = make_plan(cut_as_configured(clusters, config))
    table = config.resolve(len(clusters.centroids.embeddings)).label
    count = encode_json({"categories": len(table) - 1})
    map_labels(job, plan._replace(label=partial(_label_anew, plan.label, table)), {COUNT_FILE: count})


def _label_anew(
    label: Compute[LabelMap], table: npt.NDArray[np.uint16], shard: Shard, positions: list[int]
) -> list[LabelMap]:
    return [each._replace(map=relabel(each.map, table)) for each in label(shard, positions)]


def relabel(found: npt.NDArray[np.generic], table: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """The category of each number of a map (h, w); what is ignored stays so."""
    ignored = found == IGNORE
    return np.where(ignored, np.uint16(IGNORE), table[np.where(ignored, 0, found)])
