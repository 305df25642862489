"""The contract of models: written, read back by parts, refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from stages.core.artifacts.models import copy_model, model_hash, read_model, read_model_card, write_model
from stages.core.errors import UserError
from tests.fabricate import backbone_card

OUT = Path("artifacts/pretrain")
CARD = backbone_card()
HISTORY = [{"iteration": 1, "loss": 0.123456789, "lr": 0.5}, {"iteration": 2, "loss": 1e-9, "accuracy": 1.0}]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parts() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)).to(memory_format=torch.channels_last)
    return {"backbone": backbone, "head": nn.Linear(2, 4)}


def test_parts_come_back_as_they_were() -> None:
    written = parts()
    write_model("pretrain", written, CARD, HISTORY)
    card, states = read_model("pretrain", ["head", "backbone"])
    assert card == CARD.model_copy(update={"contract": "model/1", "stage": "pretrain"})
    assert card == read_model_card("pretrain")
    for part, module in written.items():
        assert states[part].keys() == module.state_dict().keys()
        for key, value in module.state_dict().items():
            assert torch.equal(states[part][key], value)


def test_keys_carry_the_parts_name() -> None:
    from safetensors import safe_open

    write_model("pretrain", parts(), CARD, [])
    with safe_open(OUT / "model.safetensors", "pt") as file:
        assert {"backbone.0.weight", "head.bias"} <= set(file.keys())


def test_history_is_a_table_with_a_column_per_value() -> None:
    write_model("pretrain", parts(), CARD, HISTORY)
    assert (OUT / "history.csv").read_text() == ("iteration,loss,lr,accuracy\n1,0.1234568,0.5,\n2,1e-09,,1\n")
    write_model("pretrain", parts(), CARD, [])
    assert (OUT / "history.csv").read_text() == "iteration\n"


def test_the_same_model_is_the_same_bytes() -> None:
    hashes = set()
    for _ in range(2):
        write_model("pretrain", parts(), CARD, HISTORY)
        hashes.add(model_hash("pretrain"))
    assert len(hashes) == 1
    write_model("pretrain", parts(), CARD.model_copy(update={"embedding_size": 3}), HISTORY)
    assert model_hash("pretrain") not in hashes


def test_a_missing_part_is_named_with_those_that_are_there() -> None:
    write_model("pretrain", parts(), CARD, [])
    with pytest.raises(UserError, match=r"has no attention and no decoder; it holds: backbone, head"):
        read_model("pretrain", ["backbone", "attention", "decoder"])


def test_a_model_is_passed_on_unchanged() -> None:
    write_model("pretrain", parts(), CARD, HISTORY)
    copy_model("pretrain", "attend")
    for name in ("model.safetensors", "model.json", "history.csv"):
        assert (Path("artifacts/attend") / name).read_bytes() == (OUT / name).read_bytes()
    assert read_model_card("attend").stage == "pretrain"
    assert model_hash("attend") == model_hash("pretrain")


def test_a_missing_model_says_what_to_run() -> None:
    with pytest.raises(UserError, match=r"artifacts/pretrain/manifest.json: no such file; .*dvc repro pretrain"):
        read_model("pretrain", ["backbone"])
    with pytest.raises(UserError, match="artifacts/pretrain"):
        copy_model("pretrain", "attend")


def test_another_version_is_refused() -> None:
    write_model("pretrain", parts(), CARD, [])
    manifest = json.loads((OUT / "manifest.json").read_text())
    (OUT / "manifest.json").write_text(json.dumps({**manifest, "contract": "model/7"}))
    with pytest.raises(UserError, match=r"artifacts/pretrain: holds model/7, this version reads model/1"):
        read_model("pretrain", ["backbone"])


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "manifest.json"])
def test_a_truncated_file_is_named(name: str) -> None:
    write_model("pretrain", parts(), CARD, [])
    data = (OUT / name).read_bytes()
    (OUT / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=rf"artifacts/pretrain/{name}"):
        read_model("pretrain", ["backbone"])


def test_gone_weights_are_named() -> None:
    write_model("pretrain", parts(), CARD, [])
    (OUT / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model.safetensors: missing or broken.*dvc repro pretrain"):
        read_model("pretrain", ["backbone"])
