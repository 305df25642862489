"""Weights of a network from a file: this project's, timm's, torchvision's, and those of self-supervised code bases."""

import hashlib
from pathlib import Path

from torch import nn

from stages.core.config.networks import BackboneConfig
from stages.core.config.weights import WeightsFile
from stages.core.errors import UserError
from stages.core.nets.weight_files import read_tensors
from stages.core.nets.weight_fit import fit_tensors
from stages.core.nets.weight_names import name_as_timm


def load_weights(module: nn.Module, file: WeightsFile) -> None:
    """Load a network's weights from a file, whatever its code base calls them; heads in the file are left out.

    Half precision becomes the network's own. See `stages.core.nets.weight_names` for the code bases.

    Raises:
        UserError: The file is missing, changed or unreadable; or lacks a tensor of the network, has one in another
            shape, or is of a network with more of the same modules.
    """
    own = module.state_dict()
    tensors = read_tensors(find_weights(file))
    fit = fit_tensors(name_as_timm(tensors, file.branch, own.keys()).tensors, own)
    if fit.problems:
        raise UserError(
            f"{file.path}: does not fit {_name(module)}: {fit.describe()}; `luss weights {file.path}` says what it is"
        )
    module.load_state_dict({**own, **fit.tensors})


def find_weights(file: WeightsFile) -> Path:
    """The path of a file of weights whose content is what it should be.

    Raises:
        UserError: It is missing or changed.
    """
    path = Path(file.path)
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != file.sha256:
        raise UserError(
            f"{path}: its sha256 is {digest}, not {file.sha256} as in params.yaml; `luss use` takes it as it is"
        )
    return path


def _name(module: nn.Module) -> str:
    card = getattr(module, "card", None)
    return card.name if isinstance(card, BackboneConfig) else "the network"
