"""What starting a command does not load: a typed word is answered at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.project.rooms import ROOT, stage_folders

SLOW = (
    "torch",
    "torchvision",
    "lightning_fabric",
    "timm",
    "numba",
    "cv2",
    "faiss",
    "pyarrow",
    "scipy",
    "skimage",
    "prefect",
    "dvc",
)


def loaded(code: str) -> set[str]:
    """Which of the slow libraries a fresh interpreter has loaded after some code."""
    ask = f"{code}\nimport json, sys\nprint(json.dumps([name for name in {SLOW!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", ["--help", "--version", "use --help", "score --help", "predict --help"])
def test_help_loads_nothing_slow(command: str) -> None:
    call = f"    app({command.split()!r})"
    run = f"import contextlib\nfrom flows.cli.app import app\nwith contextlib.suppress(SystemExit):\n{call}"
    assert loaded(run) == set()


def test_composing_a_recipe_loads_nothing_slow() -> None:
    compose = 'from flows.recipes.composing import Recipe, compose\ncompose(Recipe("luss", "sample"))'
    assert loaded(compose) == set()


@pytest.mark.parametrize("stage", sorted(stage_folders()))
def test_a_stages_config_loads_nothing_slow(stage: str) -> None:
    assert loaded(f"import stages.{stage}") == set()


def test_scoring_loads_no_network_and_inference_nothing_of_training() -> None:
    assert "torch" not in loaded("import stages.evaluate.scoring, stages.evaluate.report.page")
    assert "lightning_fabric" not in loaded("import stages.predict.prediction")


def test_a_network_that_only_sees_loads_no_compiler_and_can_still_be_compiled() -> None:
    ask = """
import sys, torch
from stages.core.config.networks import BackboneConfig
from stages.core.nets.backbones import build_backbone
network = build_backbone(BackboneConfig(name="test_resnet", output_stride=None)).eval()
with torch.no_grad():
    plain = network(torch.ones(1, 3, 32, 32))
    print("torch._dynamo" in sys.modules)
    compiled = torch.compile(network, backend="eager")(torch.ones(1, 3, 32, 32))
print("torch._dynamo" in sys.modules, torch.equal(plain, compiled))
from torchvision.ops.roi_align import is_compile_supported
print(is_compile_supported("cpu"))
"""
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "True"]


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_asleep_unless_the_user_says_otherwise(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known before torch loads, also where the segmenter is used from Python."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    ask = "import sys, os, stages.predict; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, "False"]
