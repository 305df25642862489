"""A file of weights that a network starts from."""

from typing import Literal

from stages.core.config.params import Params

Branch = Literal["student", "teacher"]
"""Of two networks of one training: the one that learns, or its moving average."""

Origin = Literal["self_supervised_split", "self_supervised_elsewhere", "supervised"]


class WeightsFile(Params):
    """A file of weights, tied to its content."""

    path: str
    """Absolute, or relative to the project's root."""
    sha256: str
    """Of the file; `luss use` fills it in."""
    origin: Origin
    """How the weights were trained; goes into the record of every result. `supervised` makes a result not strict."""
    license: str = ""
    """Of the weights, as their authors name it (Apache-2.0, CC-BY-NC-4.0, dinov3-license); stands in the model's card
    and in the report, which warns where it is empty."""
    branch: Branch | None = None
    """Whose weights are taken of a file with a learning network and its moving average; null for its authors' choice:
    the teacher of DINO, iBOT, DINOv2 and DINOv3, the student of the others."""


def uses_labels(weights: WeightsFile | None) -> bool:
    """Whether a file of weights was learnt from labels, which makes a result not strict."""
    return weights is not None and weights.origin == "supervised"
