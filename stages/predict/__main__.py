"""`python -m stages.predict`."""

from stages.core.cli import run_stage
from stages.predict import Config


def main(config: Config) -> None:
    """Segment the photographs of the configured splits."""
    from stages.predict.prediction import predict

    predict(config)


if __name__ == "__main__":
    run_stage("predict", Config, main)
