"""Parameters of the dense conditional random field."""

from pydantic import Field

from stages.core.config.params import Params


class CRFConfig(Params):
    """Strengths of the pairwise terms. The defaults are those of MaskContrast's and STEGO's code."""

    iterations: int = Field(10, ge=1)
    """Of mean field."""
    near: float = Field(1.0, gt=0)
    """Reach of the term that smooths, in pixels."""
    near_weight: float = Field(3.0, ge=0)
    """Of that term."""
    alike: float = Field(67.0, gt=0)
    """Reach of the term between pixels of like color, in pixels."""
    alike_color: float = Field(3.0, gt=0)
    """How much colors may differ in it, of 255."""
    alike_weight: float = Field(4.0, ge=0)
    """Of that term."""
    labels: int = Field(20, ge=1)
    """Most categories that compete in a photograph: those of the largest mean probability."""
