"""`python -m stages.evaluate`."""

from stages.core.cli import run_stage
from stages.evaluate import Config


def main(config: Config) -> None:
    """Score the predictions; write metrics.json, the other records and the report."""
    from stages.evaluate.scoring import write_scores

    write_scores(config)


if __name__ == "__main__":
    run_stage("evaluate", Config, main)
