"""`python -m stages.index`."""

from stages.core.cli import run_stage
from stages.index import Config


def main(config: Config) -> None:
    """Read every file of `data/` once and write the tables of photographs and labels."""
    from stages.index.indexing import index_data

    index_data(config)


if __name__ == "__main__":
    run_stage("index", Config, main)
