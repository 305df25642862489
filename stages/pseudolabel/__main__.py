"""`python -m stages.pseudolabel`."""

from stages.core.cli import run_stage
from stages.pseudolabel import Config
from stages.pseudolabel.config import PseudolabelConfig


def main(config: PseudolabelConfig) -> None:
    """Turn clusters into label maps of photographs or pixels."""
    from stages.core.artifacts.clusters import read_assignments
    from stages.core.artifacts.image_index import read_images

    config.write_labels(read_images(), read_assignments())


if __name__ == "__main__":
    run_stage("pseudolabel", Config, main)
