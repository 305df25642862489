"""Weights from files: this project's, torchvision's, timm's, and those that self-supervised code bases save."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from stages.core.config.weights import WeightsFile
from stages.core.errors import UserError
from stages.core.hashing import hash_file

_CONTAINERS = ("state_dict", "model", "teacher", "net")
_WRAPPERS = ("module", "backbone", "encoder_q", "encoder", "base_encoder", "model", "student", "teacher", "net")
_SHOWN = 5


def load_weights(module: nn.Module, file: WeightsFile) -> None:
    """Load a network's weights from a file, whatever prefix its keys carry; heads in the file are left out.

    Raises:
        UserError: The file is missing, changed, unreadable, or lacks a tensor of the network or has another shape.
    """
    state = strip_prefixes(_read_state(file), set(module.state_dict()))
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    wrong = [key for key in own if key in state and state[key].shape != own[key].shape]
    problems = [_list(missing, "missing")] * bool(missing) + [_list(wrong, "of another shape")] * bool(wrong)
    if problems:
        raise UserError(f"{file.path}: does not fit the network: {'; '.join(problems)}")
    module.load_state_dict({key: state.get(key, value) for key, value in own.items()})


def _list(keys: list[str], what: str) -> str:
    return f"{len(keys)} tensors {what} ({', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''})"


def strip_prefixes(state: Mapping[str, Tensor], wanted: set[str]) -> dict[str, Tensor]:
    """Rename `module.encoder_q.conv1.weight` to `conv1.weight` wherever that is a wanted key."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        short = key
        while short not in wanted and short.partition(".")[0] in _WRAPPERS:
            short = short.partition(".")[2]
        if short in wanted:
            renamed.setdefault(short, value)
    return renamed


def find_weights(file: WeightsFile) -> Path:
    """The path of a file of weights whose content is what it should be.

    Raises:
        UserError: It is missing or changed.
    """
    path = Path(file.path)
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights")
    if (digest := hash_file(path)) != file.sha256:
        raise UserError(
            f"{path}: its sha256 is {digest}, not {file.sha256} as in params.yaml; `luss use` takes it as it is"
        )
    return path


def _read_state(file: WeightsFile) -> dict[str, Tensor]:
    path = find_weights(file)
    try:
        content = _load_file(path)
    except Exception as error:  # torch raises many kinds for a broken file
        raise UserError(f"{path}: not a file of weights that can be read safely ({error})") from None
    for name in _CONTAINERS:
        content = inner if isinstance(inner := content.get(name), Mapping) else content
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _load_file(path: Path) -> Mapping[str, object]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return cast(Mapping[str, object], load_file(path))
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise TypeError(f"holds {type(content).__name__}, not a mapping of tensors")
    return content
