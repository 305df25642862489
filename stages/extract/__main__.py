"""`python -m stages.extract`."""

from stages.core.artifacts.features import write_features
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.models import read_model
from stages.core.cli import run_stage
from stages.core.nets.backbones import restore_backbone
from stages.extract import Config
from stages.extract.methods.image import ImageEmbeddings


def main(config: ImageEmbeddings) -> None:
    """Write the embeddings of the chosen splits."""
    index = read_images().of(*config.splits)
    card, states = read_model("attend", ["backbone"])
    backbone = restore_backbone(card, states["backbone"])
    rows = config.embed(backbone, card["input"], index)
    write_features(rows, card["embedding_size"], config.dtype, config.method)


if __name__ == "__main__":
    run_stage("extract", Config, main)
