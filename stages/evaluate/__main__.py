"""`python -m stages.evaluate`."""

from stages.core.cli import run_stage
from stages.evaluate import Config


def main(config: Config) -> None:
    """Score what was predicted and write the records and the report; metrics.json comes last."""
    from stages.evaluate.scoring import write_scores

    write_scores(config)


if __name__ == "__main__":
    run_stage("evaluate", Config, main)
