"""`python -m stages.extract`."""

from stages.core.cli import run_stage
from stages.extract import Config
from stages.extract.config import ExtractConfig


def main(config: ExtractConfig) -> None:
    """Compute the embeddings of the configured splits."""
    from stages.core.artifacts.image_index import read_images

    config.write_vectors(read_images().in_splits(*config.splits))


if __name__ == "__main__":
    run_stage("extract", Config, main)
