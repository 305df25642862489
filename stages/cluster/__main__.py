"""`python -m stages.cluster`."""

from stages.cluster import Config
from stages.cluster.config import ClusterConfig
from stages.core.cli import run_stage


def main(config: ClusterConfig) -> None:
    """Cluster the embeddings; write centroids and assignments, and beside them other numbers of clusters."""
    from stages.cluster.granularity import check_numbers, write_granularity
    from stages.core.artifacts.clusters import write_clusters
    from stages.core.artifacts.features import OUT, read_features
    from stages.core.artifacts.image_index import read_images
    from stages.core.artifacts.shards import read_manifest
    from stages.core.resume import resumable_work
    from stages.core.streamed_kmeans import STREAMED

    features, index = read_features(halves_above=STREAMED), read_images()
    check_numbers(config, features, index)
    inputs = {"images": index.content_hash, "extract": str(read_manifest(OUT, "features")["content_hash"])}
    with resumable_work("cluster", config, inputs) as work:
        config.prepare(features)
        centroids, assignments = config.cluster(features, index, work)
        beside = write_granularity(config, features, index, work)
        write_clusters(centroids, assignments, config.method, beside=beside)


if __name__ == "__main__":
    run_stage("cluster", Config, main)
