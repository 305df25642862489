"""A network's name is looked up when it is typed, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm
from timm.models._registry import _deprecated_models

from flows.recipes.composing import Recipe, compose
from flows.recipes.network_names import timm_networks
from stages.core.errors import UserError
from tests.project.rooms import ROOT


def test_names_are_those_that_timm_takes() -> None:
    own = {name for name in timm.list_models() if timm.model_entrypoint(name).__module__.startswith("timm.")}
    known = own | set(_deprecated_models)
    assert len(known) > 1000
    assert {name for name in timm_networks() if not name.startswith("test_")} - known == set()
    assert known - timm_networks() == set()


@pytest.mark.parametrize("name", ["resnet18", "vit_small_patch14_dinov2.lvd142m", "gluon_resnet50_v1b"])
def test_a_name_of_timm_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sections = compose(Recipe("swav", "sample", (f"pretrain.backbone.name={name}",)))
    assert sections["pretrain"]["backbone"]["name"] == name


def test_another_name_is_refused_with_close_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=r"^pretrain\.backbone\.name = 'resnet81': timm has no .*close names: resnet"):
        compose(Recipe("swav", "sample", ("pretrain.backbone.name=resnet81",)))


def test_neither_torch_nor_timm_is_loaded() -> None:
    code = (
        "import sys; from flows.recipes.network_names import timm_networks\n"
        "timm_networks(); print({'torch', 'timm'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
