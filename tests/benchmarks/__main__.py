"""Run one benchmark and print its result as JSON in the last line."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from stages.core.cli import guard

FRAME = {"__init__", "__main__", "timing", "pixels", "objects", "supervised", "disturbances", "peers", "used"}


def names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in FRAME)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Run one benchmark.")
    benchmarks = parser.add_subparsers(dest="name", metavar="NAME", required=True, help=", ".join(names()))
    for name in names():
        module = importlib.import_module(f"tests.benchmarks.{name}")
        summary = (module.__doc__ or "").partition("\n")[0]
        single = benchmarks.add_parser(name, help=summary, description=summary)
        single.add_argument("--data", type=Path, help="folder of photographs (default: drawn images)")
        if hasattr(module, "add_arguments"):
            module.add_arguments(single)
        single.set_defaults(run=module.run)
    args = parser.parse_args(arguments)
    print(json.dumps(args.run(args)), flush=True)


if __name__ == "__main__":
    sys.exit(guard("benchmark", main))
