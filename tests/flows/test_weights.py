"""`luss weights`: what a file is, the line that uses it, and fetching from a hub that does not always play along."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from flows.cli.weights import weights
from flows.recipes.composing import Recipe, compose
from flows.weights.catalog import OFFERS, find_offer
from flows.weights.hub import fetch, read_source
from stages.core.config.networks import BackboneConfig
from stages.core.config.weights import WeightsFile
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone
from tests.flows.hub_server import REVISION, Hub, hub_of
from tests.project.rooms import ROOT

OFFER = find_offer("vit_small_patch16_224.dino")
FILE = Path("kept") / OFFER.name / "model.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with hub_of(bytes(range(256)) * 1000) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


def refused() -> str:
    with pytest.raises(UserError) as error:
        fetch(OFFER, Path("kept"))
    assert "\n" not in str(error.value)
    assert read_source(FILE) is None
    return str(error.value)


def test_a_file_is_fetched_once_and_pinned(hub: Hub) -> None:
    assert fetch(OFFER, Path("kept")) == FILE
    assert FILE.read_bytes() == hub.content
    source = read_source(FILE)
    assert source is not None
    digest = hashlib.sha256(hub.content).hexdigest()
    assert source._asdict() == {
        "name": OFFER.name,
        "repository": OFFER.repository,
        "revision": REVISION,
        "sha256": digest,
        "license": "Apache-2.0",
    }
    assert all(path.startswith(f"/{OFFER.repository}/resolve/") for _, path, _ in hub.asked if "resolve" in path)
    hub.asked.clear()
    hub.answer = "missing"
    assert fetch(OFFER, Path("kept")) == FILE
    assert not hub.asked, "what is there needs no hub"
    FILE.write_bytes(b"changed")
    with pytest.raises(UserError, match="has changed since it was fetched; delete it and run this again"):
        fetch(OFFER, Path("kept"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            "gated",
            r"given to those alone who have accepted its terms (Apache-2.0): accept them at https://huggingface.co/timm/",
        ),
        ("missing", "the hub has no model.safetensors there, or not for you (`hf auth login`)"),
        ("busy", "the hub answers 429; try again later"),
        ("another file", "as the hub says; it is deleted: run this again"),
        (
            "gives half",
            "the hub cannot be reached, or broke off (Consistency check failed: file should be of size 256000",
        ),
    ],
)
def test_what_a_hub_refuses_is_one_line(hub: Hub, answer: str, said: str) -> None:
    hub.answer = answer
    assert said in refused()
    assert not FILE.exists()
    hub.answer = "well"
    assert fetch(OFFER, Path("kept")).read_bytes() == hub.content


def test_a_broken_download_is_gone_on_with(hub: Hub) -> None:
    hub.answer = "breaks once"
    assert fetch(OFFER, Path("kept")).read_bytes() == hub.content
    assert [command for command, _, _ in hub.asked].count("GET") == 2


def test_without_a_network_there_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "the hub cannot be reached, or broke off (" in refused()


def test_the_list_is_true_to_timm() -> None:
    for offer in OFFERS:
        if offer.method == "MoCo v3":  # timm has none of it
            assert timm.is_model(offer.name.partition(".")[0])
            continue
        known = timm.get_pretrained_cfg(offer.name)
        assert known is not None
        assert known.license.lower() == offer.license.lower()
        assert offer.repository == known.hf_hub_id or offer.method == "DINOv3"
    with torch.device("meta"):
        network = timm.create_model(OFFER.name, num_classes=0)
    assert sum(p.numel() for p in network.parameters()) * 4e-6 == pytest.approx(OFFER.megabytes, abs=1)


def test_an_unknown_name_is_told_close_ones() -> None:
    with pytest.raises(UserError, match=r"vit_small_dino: no such weights; close names: .*vit_small_patch16_224\.dino"):
        find_offer("vit_small_dino")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A real network of timm's, in half precision so that its file is small."""
    monkeypatch.chdir(tmp_path)
    state = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    return {key: value.half() for key, value in state.items()}


def test_the_line_that_it_prints_uses_the_file(
    tiny: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    head = {"head.last_layer.weight_v": torch.ones(8, 4)}
    teacher = {f"backbone.{key}": value for key, value in tiny.items()} | head
    torch.save({"teacher": teacher, "student": {f"module.{key}": value for key, value in teacher.items()}}, "dino.pth")
    weights(["dino.pth"])
    printed = capsys.readouterr().out
    for fact in (
        "network      vit_tiny_patch16_224\n",
        "numbers      5.5 million, float16",
        "transformer  12 blocks, 192 wide, patches of 16 pixels",
        "tokens       a class token, no registers",
        "trained at   224 pixels",
        "networks     teacher (",
        "left over    head (1)",
    ):
        assert fact in printed
    line = shlex.split(next(line for line in printed.splitlines() if line.strip().startswith("luss use")))
    assert line[:4] == ["luss", "use", "frozen", "folder"]
    shutil.copy(ROOT / "dvc.yaml", ".")
    section = compose(Recipe("frozen", "sample", tuple(line[4:])))["pretrain"]
    assert section["backbone"]["transformer"]["positions"] == "dino"
    network = build_backbone(
        BackboneConfig.model_validate(section["backbone"]), WeightsFile.model_validate(section["weights"])
    )
    assert torch.equal(network.state_dict()["blocks.3.attn.qkv.weight"], tiny["blocks.3.attn.qkv.weight"].float())


def test_what_is_fetched_brings_its_license(
    tiny: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUSS_WEIGHTS", "kept")
    with hub_of(safetensors.torch.save(tiny)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        weights(["get", "vit_base_patch16_224.mae"])
    printed = capsys.readouterr().out
    assert "pretrain.weights.license=CC-BY-NC-4.0 pretrain.backbone.name=vit_tiny_patch16_224" in printed
    assert "pretrain.backbone.transformer.positions=plain" in printed
    weights(["get"])
    assert "vit_small_patch16_dinov3.lvd1689m" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("width", "the nearest is vit_tiny_patch16_224: 24 tensors of another shape (blocks.0.mlp.fc1.weight, "),
        ("depth", "the nearest is vit_tiny_patch16_224: 12 tensors missing (blocks.11.norm1.weight"),
        ("head", "holds no backbone, only head (2); take the file of the whole network"),
    ],
)
def test_what_fits_nothing_names_the_nearest(tiny: dict[str, torch.Tensor], change: str, said: str) -> None:
    if change == "width":
        tiny = {key: value[:500].contiguous() if "fc1" in key else value for key, value in tiny.items()}
    elif change == "depth":
        tiny = {key: value for key, value in tiny.items() if not key.startswith("blocks.11.")}
    else:
        tiny = {"head.weight": torch.ones(10, 192), "head.bias": torch.ones(10)}
    safetensors.torch.save_file(tiny, "odd.safetensors")
    with pytest.raises(UserError) as error:
        weights(["odd.safetensors"])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_network_with_another_patch_than_timms_is_laid_out_for_it(
    tiny: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    tiny["patch_embed.proj.weight"] = tiny["patch_embed.proj.weight"][..., :12, :12].contiguous()
    safetensors.torch.save_file(tiny, "odd.safetensors")
    weights(["odd.safetensors"])
    printed = capsys.readouterr().out
    assert "patches of 12 pixels" in printed
    assert "transformer.patch_size=12 pretrain.backbone.transformer.image_size=168" in printed


def test_heads_come_from_the_config_beside_a_file_of_transformers(
    tiny: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.core.nets.checkpoints import transformers_vit

    safetensors.torch.save_file({k: v.contiguous() for k, v in transformers_vit(tiny).items()}, "model.safetensors")
    Path("config.json").write_text(json.dumps({"num_attention_heads": 12, "image_size": 224}))
    weights(["model.safetensors"])
    printed = capsys.readouterr().out
    assert "names as in  transformers" in printed
    assert "pretrain.backbone.transformer.positions=plain pretrain.backbone.transformer.heads=12" in printed


def test_moco_v3s_small_network_has_twelve_heads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its tensors have the shapes of a network with six, which would compute something else without a word."""
    state = timm.create_model("vit_small_patch16_224", num_classes=0).state_dict()
    content = {f"module.base_encoder.{key}": value.half() for key, value in state.items()}
    torch.save({"state_dict": content, "arch": "vit_small"}, tmp_path / "vit-s-300ep.pth.tar")
    weights([str(tmp_path / "vit-s-300ep.pth.tar")])
    printed = capsys.readouterr().out
    assert "pretrain.backbone.name=vit_small_patch16_224" in printed
    assert "transformer.positions=plain pretrain.backbone.transformer.heads=12" in printed


def test_a_resnet_with_a_classifier_of_imagenets_labels_is_supervised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet18.pth")
    weights([str(tmp_path / "resnet18.pth")])
    printed = capsys.readouterr().out
    assert "pretrain.weights.origin=supervised pretrain.backbone.name=resnet18\n" in printed
    assert "left over    fc (2)" in printed
