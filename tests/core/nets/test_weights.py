"""Weights from files of other code bases: found whatever they are wrapped in, refused with a reason."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from stages.core.config.weights import WeightsFile
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone
from stages.core.nets.weights import load_weights
from tests.fabricate import BACKBONE


@pytest.fixture
def trained() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return build_backbone(BACKBONE).state_dict()


def named(path: str) -> WeightsFile:
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return WeightsFile(path=path, sha256=digest, origin="self_supervised_elsewhere")


def saved(content: object, path: str = "weights.pth") -> WeightsFile:
    torch.save(content, path)
    return named(path)


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


def check_loaded(file: WeightsFile, expected: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(2)
    network = build_backbone(BACKBONE)
    load_weights(network, file)
    for key, value in network.state_dict().items():
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize("container", [None, "state_dict", "model", "teacher"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.encoder_q.", "backbone.", "module.backbone."])
def test_prefixes_and_containers_are_taken_off(
    trained: dict[str, torch.Tensor], prefix: str, container: str | None
) -> None:
    state = {**prefixed(prefix, trained), f"{prefix}fc.weight": torch.zeros(5, 96), "module.queue": torch.zeros(3)}
    check_loaded(saved({container: state, "epoch": 3} if container else state), trained)


def test_the_key_encoder_is_not_taken_for_the_query_encoder(trained: dict[str, torch.Tensor]) -> None:
    keys = prefixed("module.encoder_k.", {key: torch.zeros_like(value) for key, value in trained.items()})
    check_loaded(saved({"state_dict": {**keys, **prefixed("module.encoder_q.", trained)}}), trained)


def test_torchvisions_names_fit_timms_resnet() -> None:
    import torchvision

    torch.manual_seed(3)
    theirs = torchvision.models.resnet18()
    ours = build_backbone(BACKBONE.model_copy(update={"name": "resnet18"}))
    load_weights(ours, saved(theirs.state_dict()))
    images = torch.randn(1, 3, 64, 64)
    theirs.fc = nn.Identity()
    torch.testing.assert_close(ours.eval()(images).mean((2, 3)), theirs.eval()(images), rtol=1e-4, atol=1e-4)


def test_this_projects_own_and_other_safetensors(trained: dict[str, torch.Tensor]) -> None:
    safetensors.torch.save_file(prefixed("backbone.", trained), "model.safetensors")
    check_loaded(named("model.safetensors"), trained)


def test_counters_of_batches_may_be_missing(trained: dict[str, torch.Tensor]) -> None:
    state = {key: value for key, value in trained.items() if not key.endswith("num_batches_tracked")}
    check_loaded(saved(state), trained)


def refused(file: WeightsFile) -> str:
    with pytest.raises(UserError) as error:
        load_weights(build_backbone(BACKBONE), file)
    return str(error.value)


def test_a_changed_or_missing_file_is_refused(trained: dict[str, torch.Tensor]) -> None:
    file = saved(trained)
    torch.save({}, file.path)
    assert f"not {file.sha256} as in params.yaml; `luss use`" in refused(file)
    Path(file.path).unlink()
    assert refused(file) == "weights.pth: no such file of weights"


def test_missing_and_misshapen_tensors_are_named(trained: dict[str, torch.Tensor]) -> None:
    first, second = [key for key in trained if key.endswith("conv1.weight")][:2]
    lacking = {key: value for key, value in trained.items() if key != first}
    lacking[second] = torch.zeros(1)
    message = refused(saved(lacking))
    assert f"1 tensors missing ({first})" in message
    assert f"1 tensors of another shape ({second})" in message
    assert "missing" in refused(saved({"something": torch.zeros(1)}))


def test_what_is_not_weights_is_refused() -> None:
    Path("noise.pth").write_bytes(b"\x00\x01" * 500)
    assert "not a file of weights that can be read safely" in refused(named("noise.pth"))
    Path("noise.safetensors").write_bytes(b"\x00\x01" * 500)
    assert "not a file of weights that can be read safely" in refused(named("noise.safetensors"))
    assert "holds list" in refused(saved([torch.zeros(1)]))


def check_explained(path: str, reason: str) -> None:
    message = refused(named(path))
    assert message.startswith(f"{path}: not a file of weights that can be read safely: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("path", ["page.pth", "page.safetensors"])
def test_what_a_download_leaves_in_place_of_weights_is_named(path: str) -> None:
    Path(path).write_text("\n<!DOCTYPE html>\n<html><body>Please log in</body></html>")
    check_explained(path, "it is a web page, saved in place of the weights; download the file itself")
    Path(path).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 4\n")
    check_explained(path, "it is a Git LFS pointer to the weights")
    Path(path).write_bytes(b"")
    check_explained(path, "it is empty")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(trained: dict[str, torch.Tensor], share: float) -> None:
    torch.save(trained, "short.pth")
    torch.save(trained, "legacy.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(trained, "short.safetensors")
    for path in map(Path, ("short.pth", "legacy.pth", "short.safetensors")):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        check_explained(str(path), "it is cut short")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("exploded"),)


def test_code_in_a_pickle_is_not_run() -> None:
    torch.save({"state_dict": Bomb()}, "bomb.pth")
    check_explained("bomb.pth", "it holds Python code (")
    Path("plain.pth").write_bytes(pickle.dumps({"state_dict": Bomb()}, protocol=2))
    check_explained("plain.pth", "it holds Python code (")
    Path("plain.pth").write_bytes(pickle.dumps({"state_dict": Bomb()}))
    check_explained("plain.pth", "it is a pickle that torch did not write and that can hold code")
    assert not Path("exploded").exists()
