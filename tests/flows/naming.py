"""A project whose clusters can be named, and the page over it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn

from flows.cli.names import HOST, _listen
from flows.naming.app import make_app
from stages.core.artifacts.clusters import Assignments, Centroids, write_clusters
from stages.core.artifacts.features import Feature, write_features
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from tests.fabricate import fabricate_images

TOKEN = "token"


def fabricate_named(clusters: int = 5, photographs: int = 20, pixels: bool = True) -> None:
    """Photographs in evenly spread clusters, whose vectors lie around as many directions; labels of pixels, or none."""
    index = fabricate_images(photographs)
    rng, ids = np.random.default_rng(0), np.arange(photographs, dtype=np.int32) * clusters // photographs
    centers = rng.normal(size=(clusters, 16)).astype(np.float32)
    vectors = centers[ids] + rng.normal(size=(photographs, 16)).astype(np.float32) / 10
    write_features(
        [Feature(*key, 1, v) for key, v in zip(((i, 0) for i in index.image_ids), vectors, strict=True)],
        16,
        "float32",
        "image",
    )
    distances = ((vectors - centers[ids]) ** 2).sum(1)
    found = Assignments(index.image_ids, np.zeros(photographs, np.int32), ids, distances)
    write_clusters(Centroids(centers, np.bincount(ids, minlength=clusters), False), found, "kmeans")
    if pixels:
        maps = (np.pad(np.full((16, 16), one + 1, np.uint16), 8) for one in ids)
        rows = [LabelMap(image_id, 32, 32, each) for image_id, each in zip(index.image_ids, maps, strict=True)]
        write_label_maps("pseudolabel", "nearest_centroid", rows)
    Path("names.yaml").write_text("centroids: null\ncategories: []\n")


@contextmanager
def serve() -> Iterator[str]:
    """The page's address."""
    with _listen(0) as listener:
        server = uvicorn.Server(uvicorn.Config(make_app(TOKEN), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://{HOST}:{listener.getsockname()[1]}/{TOKEN}/"
        finally:
            server.should_exit = True
            thread.join()
