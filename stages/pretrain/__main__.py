"""`python -m stages.pretrain`."""

from stages.core.cli import run_stage
from stages.pretrain import Config
from stages.pretrain.config import PretrainConfig


def main(config: PretrainConfig) -> None:
    """Train a backbone on the train split, or take one as it is, and write the model."""
    config.pretrain()


if __name__ == "__main__":
    run_stage("pretrain", Config, main)
