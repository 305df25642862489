"""What methods that are taught by true masks have in common."""

from typing import Literal

from pydantic import Field

from stages.core.nets.features import FeatureMap
from stages.core.nets.segmenter import SegmenterCard
from stages.core.params import Params


class TrueMaskTrainingConfig(Params):
    """Tell the classes of pixels apart; background is the first class."""

    supervision: Literal["labels"] = "labels"
    """What is trained on: wants the pseudo-labels `masks`, which take a share of them."""
    feature_map: FeatureMap | None = None
    """`decoder` or `stage4`, the backbone's last map; null for the one that the pretrained model was trained by."""
    short_side: int = Field(512, ge=8)
    """Side in pixels that photographs are resized to at inference. MaskContrast: 512 x 512, aspect not kept."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels, the first of the background."""
        return SegmenterCard(clusters=outputs - 1, short_side=self.short_side, score="softmax", background="class_0")
