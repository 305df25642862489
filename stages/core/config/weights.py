"""A file of weights that a network starts from."""

from typing import Literal

from stages.core.config.params import Params

Origin = Literal["self_supervised_split", "self_supervised_elsewhere", "supervised"]


class WeightsFile(Params):
    """A file of weights, tied to its content."""

    path: str
    """Absolute, or relative to the project's root."""
    sha256: str
    """Of the file; `luss use` fills it in."""
    origin: Origin
    """How the weights were trained; goes into the record of every result. `supervised` makes a result not strict."""
