"""True masks as labels, of all training photographs or of a share."""

from collections.abc import Iterator

import numpy as np

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import IGNORE, LabelMap
from stages.core.artifacts.labels import read_labels
from stages.core.errors import UserError
from stages.core.progress import track
from stages.pseudolabel.methods.masks.config import TrueMaskLabelConfig


def label(config: TrueMaskLabelConfig, index: ImageIndex) -> Iterator[LabelMap]:
    """The masks of the drawn photographs in the index's order: 0 background, class ids from 1.

    Raises:
        UserError: No training photograph has a mask.
    """
    labels, train = read_labels(), index.in_splits("train")
    masked = [image_id for image_id in train.image_ids if labels.mask_path(image_id)]
    if not masked:
        raise UserError(
            "pseudolabel.masks: no photograph of the train split has a mask; in ImageNet-S's layout they lie in "
            "data/train-segmentation/ or data/train-semi-segmentation/"
        )
    count = max(round(config.share * len(masked)), 1)
    drawn = train.with_ids(masked).draw(count, config.seed)
    for position in track(range(len(drawn)), label="masks"):
        photo = drawn[position]
        true = labels.read_mask(photo.image_id).astype(np.int64)
        counts = (true != config.ignore_id) & (true <= max(labels.classes))
        yield LabelMap(photo.image_id, photo.height, photo.width, np.where(counts, true, IGNORE).astype(np.uint16))
