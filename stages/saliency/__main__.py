"""Command line of the stage: `python -m stages.saliency`."""

from stages.core.cli import run_stage
from stages.saliency import Config
from stages.saliency.maps import SaliencyMethod


def main(config: SaliencyMethod) -> None:
    """Compute a saliency map of every photograph of the index."""
    from stages.core.artifacts.image_index import read_images

    config.write_maps(read_images())


if __name__ == "__main__":
    run_stage("saliency", Config, main)
