"""`python -m stages.attend`."""

from stages.attend import Config
from stages.attend.config import AttendConfig
from stages.core.cli import run_stage


def main(config: AttendConfig) -> None:
    """Train an attention on top of the pretrained model, or pass the model on."""
    config.attend()


if __name__ == "__main__":
    run_stage("attend", Config, main)
