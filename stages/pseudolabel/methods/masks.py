"""True masks as labels, of all training photographs or of a share: for linear probes and semi-supervised training.

Source: MaskContrast, section 4.1 (protocols I and III).
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from stages.core.artifacts.clusters import Assignments
from stages.core.artifacts.image_index import ImageIndex, read_labels
from stages.core.artifacts.label_maps import IGNORE, LabelMap
from stages.core.errors import UserError
from stages.core.params import Params
from stages.core.progress import track


class TrueMaskLabelConfig(Params):
    """What people drew. A result that rests on it is not strict."""

    method: Literal["masks"] = "masks"
    supervision: Literal["labels"] = "labels"
    """What the labels come from: the data set's masks of its train split."""
    share: float = Field(1.0, gt=0, le=1)
    """Of the training photographs with a mask, drawn by the seed. MaskContrast: 0.01, 0.02, 0.05, 0.125 and 1."""
    seed: int = Field(0, ge=0)
    """Of the draw. MaskContrast: the mean of three."""
    ignore_id: int = Field(1000, ge=-1, le=65535)
    """Id in the masks of pixels that do not count; -1 for none."""

    def label(self, index: ImageIndex, assignments: Assignments) -> Iterator[LabelMap]:
        """The masks of the drawn photographs in the index's order: 0 background, class ids from 1.

        Raises:
            UserError: No training photograph has a mask.
        """
        labels, train = read_labels(), index.of("train")
        masked = [image_id for image_id in train.image_ids if labels.mask_path(image_id)]
        if not masked:
            raise UserError(
                "pseudolabel.masks: no photograph of the train split has a mask, in data/train-segmentation/"
            )
        count = max(round(self.share * len(masked)), 1)
        drawn = train.among(masked[row] for row in np.random.default_rng(self.seed).permutation(len(masked))[:count])
        for position in track(range(len(drawn)), label="masks"):
            photo = drawn[position]
            true = labels.read_mask(photo.image_id).astype(np.int64)
            counts = (true != self.ignore_id) & (true <= max(labels.classes))
            yield LabelMap(photo.image_id, photo.height, photo.width, np.where(counts, true, IGNORE).astype(np.uint16))
