"""Parameters of TransFGU's training."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.networks import ClassifierConfig, DecoderConfig, HeadConfig, MaskTransformerConfig
from stages.core.config.params import Params
from stages.core.config.segmenter import SegmenterCard
from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.config.views import PhotometricConfig, ShareCropConfig
from stages.finetune.config import TrainedFinetuneConfig

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork
    from stages.finetune.methods.transfgu.method import TransFGU

_HEAD_CHANNELS = 64
"""Of a head of attention. Segmenter's code."""
_BLOCK_OF_EPOCHS = 10
"""Epochs that one of the intervals holds for. TransFGU's code."""


class BootstrappingConfig(Params):
    """When the student becomes the teacher and starts anew. Epochs count from 0."""

    start: int = Field(5, ge=1)
    """First epoch in which it may. TransFGU's code: VOC 5; COCO-80, COCO-171 and LIP-19 3; COCO-27, LIP-5 and -16 2;
    Cityscapes 1."""
    intervals: tuple[int, ...] = Field((5, 5, 5, 5, 4, 4, 4, 4, 4, 3), min_length=1)
    """It does in epochs that are a multiple of this; the n-th holds for the n-th ten epochs, the last for all behind.
    TransFGU's code, VOC's."""
    passes: int = Field(20, ge=1)
    """Passes over the photographs that make up one epoch. TransFGU's code: VOC and Cityscapes 20, the others 1."""

    def epoch(self, passes: int) -> int:
        """The epoch after so many passes."""
        return passes // self.passes

    def is_due(self, epoch: int, epochs: int) -> bool:
        """Whether the student becomes the teacher before an epoch of a training of so many.

        Not where the training ends before the new student has had an interval: TransFGU keeps the checkpoint that masks
        say is best, here the last one is kept.
        """
        interval = self.intervals[min(epoch // _BLOCK_OF_EPOCHS, len(self.intervals) - 1)]
        return epoch >= self.start and epoch % interval == 0 and epoch + interval <= epochs


class TransFGUConfig(TrainedFinetuneConfig):
    """Teach a decoder the class maps of `pseudolabel` on a frozen network, by a teacher that it replaces in turns."""

    method: Literal["transfgu"] = "transfgu"
    supervision: Literal["images"] = "images"
    """What the training labels come from; this method takes the class maps of photographs."""
    views: ShareCropConfig = ShareCropConfig(
        photometric=PhotometricConfig(jitter_probability=0.3, blur_probability=0.2, blur_sigma=(0.1, 0.8))
    )
    """TransFGU's code: colors jittered 0.8, 0.8, 0.8, 0.2 with probability 0.3, gray 0.2, a blur of 3x3 pixels 0.2; its
    widest, a mean of nine, has a deviation of 0.8."""
    size: tuple[int, int] = (320, 320)
    """Height and width in pixels that photographs are squashed to at inference. TransFGU: 320 x 320, Cityscapes
    320 x 640."""
    decoder: DecoderConfig | None = None
    """A decoder of the backbone's stages that learns with the head; of a transformer, of the tokens behind each quarter
    of its blocks. TransFGU, table 4: an FPN on a ResNet-50; null for the backbone's last map alone (ViT)."""
    head: Literal["mask_transformer", "pixel"] = "mask_transformer"
    """Segmenter's mask transformer, or a 1x1 convolution. TransFGU, table 2, compares them."""
    blocks: int = Field(2, ge=1)
    """Of the mask transformer. Segmenter: 2."""
    heads: int | None = Field(None, ge=1)
    """Of attention in the mask transformer; null for one per 64 channels of the map, at least one. ViT-S: 6."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """In the mask transformer. Segmenter's code: 0.1."""
    background: bool = True
    """Whether there is a background, the first class; false where every pixel has a class, as in scenes."""
    background_level: float = Field(0.1, ge=0, le=1)
    """A place is background as far as its highest map, in 0..1, lies below. TransFGU, equation 8: 0.1."""
    bootstrapping: BootstrappingConfig | None = BootstrappingConfig()
    """null: trained once on the class maps as they are (table 3, "trained")."""
    peer_weights: tuple[float, ...] = (0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1)
    """Weight of the peer loss in the first, second, ... epoch since the last teacher, the last one in all behind; 0
    before there is a teacher. None: no peer loss. TransFGU's code; its supplement: over the whole training."""
    uncertainty_weight: float = Field(0.3, ge=0)
    """TransFGU, equation 16: 0.3."""
    diversity_weight: float = Field(1.0, ge=0)
    """TransFGU, equation 16: 1."""
    training: TrainingConfig = TrainingConfig(
        epochs=2000,
        batch_size=512,
        optimizer=OptimizerConfig(
            kind="adam",
            base_lr=5e-5,
            final_lr=5e-5,
            schedule="constant",
            weight_decay=5e-4,
            decay_norm_and_bias=False,
        ),
    )
    """TransFGU's supplement, VOC: 100 epochs (of 20 passes) of 512 photographs at 1e-4; its code: a weight decay of
    5e-4, not of vectors."""

    def head_config(self, channels: int, categories: int) -> HeadConfig:
        """What the head is built from, on a map of so many channels."""
        outputs = categories + self.background
        if self.head == "pixel":
            return ClassifierConfig(clusters=outputs)
        return MaskTransformerConfig(
            kind="mask_transformer",
            clusters=outputs,
            width=channels,
            blocks=self.blocks,
            heads=self.heads or max(channels // _HEAD_CHANNELS, 1),
            dropout=self.dropout,
        )

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose head has `outputs` channels."""
        sizes = {"clusters": outputs - self.background, "short_side": min(self.size), "size": self.size}
        if self.background:
            return SegmenterCard(**sizes, score="softmax", background="class_0")
        return SegmenterCard(**sizes, score="softmax", background="threshold", threshold=0.0, threshold_source="fixed")

    @property
    def further_inputs(self) -> dict[str, str]:
        """See `TrainedFinetuneConfig.further_inputs`."""
        from stages.core.artifacts.class_maps import open_class_maps

        return {"class_maps": open_class_maps("pseudolabel").content_hash}

    def finetune(self) -> None:
        """Train and write the segmenter; see `FinetuneConfig.finetune`."""
        from stages.core.artifacts.class_maps import open_class_maps
        from stages.core.artifacts.clusters import read_centroids

        open_class_maps("pseudolabel").check_classes(len(read_centroids().embeddings))
        super().finetune()

    def build(self, features: "FeatureNetwork", categories: int) -> "TransFGU":
        """What is trained, on a pretrained network; see `TrainedFinetuneConfig.build`."""
        from stages.finetune.methods.transfgu.method import TransFGU

        return TransFGU(self, features, categories)
