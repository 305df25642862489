"""A network's name is looked up when it is typed, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import yaml
from timm.models._registry import _deprecated_models

from flows.recipes.composing import Recipe, compose
from flows.recipes.network_names import timm_networks, timm_transformers
from flows.recipes.overrides import apply_overrides
from stages.core.config.networks import BackboneConfig
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone
from stages.core.nets.transformers import is_transformer
from tests.project.rooms import ROOT


def test_names_are_those_that_timm_takes() -> None:
    own = {name for name in timm.list_models() if timm.model_entrypoint(name).__module__.startswith("timm.")}
    known = own | set(_deprecated_models)
    assert len(known) > 1000
    assert {name for name in timm_networks() if not name.startswith("test_")} - known == set()
    assert known - timm_networks() == set()


@pytest.mark.parametrize("name", ["resnet18", "vit_small_patch14_dinov2.lvd142m", "gluon_resnet50_v1b", "resnet38"])
def test_a_name_of_a_network_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sections = compose(Recipe("swav", "sample", (f"pretrain.backbone.name={name}",)))
    assert sections["pretrain"]["backbone"]["name"] == name


def test_another_name_is_refused_with_close_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=r"^pretrain\.backbone\.name = 'resnet81': timm has no .*close names: resnet"):
        compose(Recipe("swav", "sample", ("pretrain.backbone.name=resnet81",)))


READERS = [
    (("extract={method: sliding_windows}",), "extract.method = sliding_windows"),
    (("extract.embedding=class_token",), "extract.embedding = class_token"),
    (("attend={method: cls_attention}",), "attend.method = cls_attention"),
    (("pseudolabel={method: vit_gradcam}",), "pseudolabel.method = vit_gradcam"),
]


@pytest.mark.parametrize(("values", "reader"), READERS)
def test_what_reads_a_transformer_is_refused_with_another_network(
    values: tuple[str, ...], reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    told = rf"^{reader} reads a vision transformer, and pretrain\.backbone\.name = 'test_resnet' is none"
    with pytest.raises(UserError, match=told):
        compose(Recipe("swav", "sample", values))
    compose(Recipe("swav", "sample", (*values, "pretrain.backbone.name=vit_tiny_patch16_224")))


def test_a_salient_object_is_cut_by_a_transformer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    token_cut = "saliency={method: token_cut, backbone: {name: %s}}"
    compose(Recipe("swav", "sample", (token_cut % "vit_tiny_patch16_224",)))
    with pytest.raises(
        UserError, match=r"^saliency\.method = token_cut reads .* saliency\.backbone\.name = 'resnet50'"
    ):
        compose(Recipe("swav", "sample", (token_cut % "resnet50",)))


def test_a_network_that_does_not_fit_is_refused_in_an_edited_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(compose(Recipe("transfgu", "sample"))))
    before = path.read_text()
    with pytest.raises(UserError, match="is none; take one"):
        apply_overrides(["pretrain.backbone={name: resnet18}"], path)
    with pytest.raises(UserError, match="timm has no such network"):
        apply_overrides(["pretrain.backbone.name=resnet81"], path)
    assert path.read_text() == before


@pytest.mark.parametrize("name", ["test_vit", "deit3_small_patch16_224", "vit_small_patch16_dinov3"])
def test_vision_transformers_are_known_by_their_module(name: str) -> None:
    assert name in timm_transformers()
    assert is_transformer(build_backbone(BackboneConfig(name=name)))


def test_neither_torch_nor_timm_is_loaded() -> None:
    code = (
        "import sys; from flows.recipes.network_names import timm_networks\n"
        "timm_networks(); print({'torch', 'timm'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
