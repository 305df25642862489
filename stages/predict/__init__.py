"""Predict: segment photographs with the segmenter.

Reads `artifacts/index/images` and the model `artifacts/finetune`. Writes the label maps `artifacts/predict` at the
photographs' own size: the category of every pixel before any threshold, and its score. `predict_folder` does the same
for a folder of photographs outside the pipeline, as pictures for people, and `load_segmenter` for Python:

    from stages.predict import load_segmenter

    segmenter = load_segmenter("artifacts/finetune")
    masks = segmenter(images)
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from stages.core.config.crf import CRFConfig
from stages.core.config.params import Params
from stages.core.config.splits import Split

if TYPE_CHECKING:
    from stages.predict.photograph_segmenter import PhotographSegmenter


class Config(Params):
    """Splits that are segmented, and refinement by a CRF."""

    splits: tuple[Split, ...] = Field(("validation", "test"), min_length=1)
    """Splits whose photographs are segmented; those that the data set lacks are left out."""
    max_pixels: int = Field(1_000_000, ge=1)
    """Above this many pixels, labels are enlarged by nearest neighbor. Source: PASS, step 4."""
    crf: CRFConfig | None = None
    """Let the labels follow the photographs' edges by a dense CRF; null: not. Twice as fast with `pip install
    'luss[crf]'`."""


def load_segmenter(folder: str | Path = "artifacts/finetune", config: Config | None = None) -> "PhotographSegmenter":
    """Load a trained segmenter for use from Python; see `stages/predict/photograph_segmenter.py`.

    It runs on a GPU where there is one (`LUSS_DEVICE` says otherwise).

    Args:
        folder: The model that the stage `finetune` wrote.
        config: Settings of the stage `predict`: refinement by a CRF, and the bound on pixels. None takes those that the
            model was run with, in the params.yaml of its project, so that masks are what the stage writes; without such
            a file the defaults.

    Raises:
        UserError: No model lies there, it is broken, or it is no segmenter.
    """
    from stages.predict.photograph_segmenter import PhotographSegmenter

    return PhotographSegmenter.load(Path(folder), config)
