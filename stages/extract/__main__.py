"""`python -m stages.extract`."""

from stages.core.artifacts.features import write_features
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.models import read_model
from stages.core.cli import run_stage
from stages.extract import Config


def main(config: Config) -> None:
    """Write the embeddings of the chosen splits."""
    index = read_images().of(*config.splits)
    card, states = read_model("attend", ["backbone"])
    rows, size = config.describe(card, states, index)
    write_features(rows, size, config.dtype, config.method)


if __name__ == "__main__":
    run_stage("extract", Config, main)
