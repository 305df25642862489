"""`python -m stages.finetune`."""

from stages.core.cli import run_stage
from stages.finetune import Config
from stages.finetune.config import FinetuneConfig


def main(config: FinetuneConfig) -> None:
    """Train or assemble the segmenter and write it."""
    config.finetune()


if __name__ == "__main__":
    run_stage("finetune", Config, main)
