"""Predict: segment photographs with the segmenter.

Reads `artifacts/index/images` and the model `artifacts/finetune`. Writes the label maps `artifacts/predict` at the
photographs' own size: the category of every pixel before any threshold, and its score. `predict_folder` does the same
for a folder of photographs outside the pipeline, as pictures for people.
"""

from pydantic import Field

from stages.core.config.crf import CRFConfig
from stages.core.config.params import Params
from stages.core.config.splits import Split


class Config(Params):
    """Splits that are segmented, and refinement by a CRF."""

    splits: tuple[Split, ...] = Field(("validation", "test"), min_length=1)
    """Splits whose photographs are segmented; those that the data set lacks are left out."""
    max_pixels: int = Field(1_000_000, ge=1)
    """Above this many pixels, labels are enlarged by nearest neighbor. Source: PASS, step 4."""
    crf: CRFConfig | None = None
    """Let the labels follow the photographs' edges by a dense CRF; null: not. Twice as fast with `pip install
    'luss[crf]'`."""
