"""`python -m stages.pretrain`."""

from stages.core.cli import run_stage
from stages.pretrain import Config
from stages.pretrain.config import PretrainConfig


def main(config: PretrainConfig) -> None:
    """Write a backbone that was trained on the train split, or taken as it is."""
    config.pretrain()


if __name__ == "__main__":
    run_stage("pretrain", Config, main)
