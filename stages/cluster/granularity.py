"""Forms the further numbers of clusters beside `k`, and measures how stable each is."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.cluster.config import ClusterConfig
from stages.cluster.stability import measure_stability
from stages.core.artifacts.clusters import write_clusters
from stages.core.artifacts.features import Features
from stages.core.artifacts.granularity import FOLDER, write_stability
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.shards import MANIFEST
from stages.core.errors import UserError
from stages.core.progress import track


def check_numbers(config: ClusterConfig, features: Features, index: ImageIndex) -> None:
    """Look before the work whether there are enough vectors for all of `also`.

    Raises:
        UserError: There are not.
    """
    count = int(np.count_nonzero(config.forming_rows(features, index))) if config.further else 0
    if too_many := [k for k in config.further if k > count]:
        raise UserError(f"cluster.also: {count} vectors cannot form {too_many[0]} clusters; leave it out")


def write_granularity(config: ClusterConfig, features: Features, index: ImageIndex, work: Path) -> Path:
    """Write what `artifacts/cluster` holds beside its clusters into a folder; what is done survives a kill.

    Raises:
        UserError: The vectors do not form one of the numbers of clusters.
    """
    folder = work / FOLDER
    folder.mkdir(exist_ok=True)
    for k in track(config.further, label="further numbers of clusters", unit="numbers"):
        if not (folder / str(k) / MANIFEST).is_file():
            try:
                found = config.model_copy(update={"k": k}).cluster(features, index, work / f"clusters-{k}")
            except UserError as error:
                raise UserError(f"cluster.also: {k}: {error}") from None
            write_clusters(*found, config.method, folder / str(k))
    if config.stability and config.k is not None:
        stability = measure_stability(config, _draw_vectors(config, features, index), work)
        write_stability(folder, stability, config.method)
    return folder


def _draw_vectors(config: ClusterConfig, features: Features, index: ImageIndex) -> npt.NDArray[np.float32]:
    """(n, D): at most `config.stability` of the vectors that form the clusters."""
    rows = np.flatnonzero(config.forming_rows(features, index))
    drawn = np.sort(np.random.default_rng(config.seed).permutation(rows)[: config.stability])
    return np.asarray(features.embeddings[drawn], np.float32)
