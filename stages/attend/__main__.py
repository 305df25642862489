"""`python -m stages.attend`."""

from stages.attend import Config
from stages.attend.methods.none import NoAttention
from stages.core.cli import run_stage


def main(config: NoAttention) -> None:
    """Write the model that clustering and pseudo-labels read."""
    config.run()


if __name__ == "__main__":
    run_stage("attend", Config, main)
