"""Command line of the stage: `python -m stages.superpixels`."""

from stages.core.cli import run_stage
from stages.superpixels import Config
from stages.superpixels.regions import SuperpixelMethod


def main(config: SuperpixelMethod) -> None:
    """Cut every photograph of the index into superpixels."""
    from stages.core.artifacts.image_index import read_images

    config.write_maps(read_images())


if __name__ == "__main__":
    run_stage("superpixels", Config, main)
