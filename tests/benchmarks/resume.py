"""Every training method killed (kill -9) at random iterations and resumed: the weights of a run left alone."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from stages.core.errors import UserError
from stages.pretrain import Config
from tests.methods import small, union_of

ROOT = Path(__file__).parents[2]
EPOCHS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=5, help="kills of every method (default: %(default)s)")
    parser.add_argument("--methods", nargs="*", help="methods of pretrain (default: all that train)")


def run(args: argparse.Namespace) -> dict[str, object]:
    results = {}
    for config in union_of(Config):
        name = config.model_fields["method"].default
        if "training" in config.model_fields and name in (args.methods or [name]):
            results[name] = compare(small_training(config), args.count)
            Console().print(f"{name}: killed after {results[name]['killed_at']}, equal: {results[name]['equal']}")
    return {"benchmark": "resume", **results, "holds": all(result["equal"] for result in results.values())}


def small_training(config: Any) -> Any:
    """The method as small as the tests have it, for a few more epochs of three iterations."""
    values = small(config).model_dump(mode="json")
    return config.model_validate({**values, "training": {**values["training"], "epochs": EPOCHS}})


def compare(config: Any, kills: int) -> dict[str, Any]:
    """Weights of a run left alone and of one that is killed again and again."""
    with project(config):
        alone = finish()
    killed, resumed = kill_and_resume(config, kills)
    return {"killed_at": killed, "equal": resumed == alone}


def kill_and_resume(config: Any, kills: int) -> tuple[list[int], bytes]:
    """The iterations after which a run was killed, and the weights that it ends with."""
    with project(config):
        killed = [kill_after(random.randint(0, 2)) for _ in range(kills)]
        return [at for at in killed if at is not None], finish()


@contextlib.contextmanager
def project(config: Any) -> Iterator[None]:
    """A folder with photographs, priors and params.yaml, which is the current one."""
    from tests.pretrain.test_every_method import fabricate_inputs

    there = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            fabricate_inputs()
            Path("params.yaml").write_text(yaml.safe_dump({"pretrain": config.model_dump(mode="json")}))
            yield
        finally:
            os.chdir(there)


def start() -> subprocess.Popen[str]:
    environment = {
        "PYTHONPATH": str(ROOT),
        "LUSS_WORKERS": "1",
        "LUSS_DEVICE": "cpu",
        "LUSS_CHECKPOINT_SECONDS": "0",
        "LUSS_CHECKPOINTS": ".checkpoints",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "stages.pretrain"]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def kill_after(iterations: int) -> int | None:
    """Kill a run some iterations after the first that it adds; the iteration, or None if it was done before."""
    process, target = start(), newest() + 1 + iterations
    while process.poll() is None and newest() < target:
        time.sleep(0.005)
    process.kill()
    reached = newest()
    process.communicate()
    return reached if process.returncode == -9 else None


def newest() -> int:
    """Iterations of the newest checkpoint."""
    paths = Path(".checkpoints/pretrain").glob("*/checkpoint-*.pt")
    return max((int(path.stem.rpartition("-")[2]) for path in paths), default=0)


def finish() -> bytes:
    process = start()
    _, said = process.communicate()
    if process.returncode:
        raise UserError(f"the run failed: {said.splitlines()[-1]}")
    return Path("artifacts/pretrain/model.safetensors").read_bytes()
