"""Writes the built-in sample: `python -m flows.sample [--data DIR] [--force] [--train-masks]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flows.sample import FINGERPRINT, TRAIN_MASKS, fingerprint, set_aside, write_sample, write_train_masks
from stages.core.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Write the sample and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.sample", description="Write the built-in sample.")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to write (default: data)")
    parser.add_argument(
        "--force", action="store_true", help="if the folder holds something else, rename it and write the sample"
    )
    parser.add_argument(
        "--train-masks", action="store_true", help="write the masks of train too, for methods that learn from labels"
    )
    options = parser.parse_args(arguments)
    try:
        print(_write(options.data, options.force))
        if options.train_masks:
            write_train_masks(options.data)
            print(f"Wrote the masks of train to {options.data / TRAIN_MASKS}.")
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _write(root: Path, force: bool) -> str:
    if root.is_dir() and fingerprint(root) == FINGERPRINT:
        return f"{root} holds the built-in sample already, unchanged."
    aside = set_aside(root) if force else None
    write_sample(root)
    return f"Wrote the built-in sample to {root}." + (f" What was there is now {aside}." if aside else "")


if __name__ == "__main__":
    sys.exit(main())
