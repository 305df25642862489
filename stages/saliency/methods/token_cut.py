"""TokenCut: the object is one side of the normalized cut of the graph of a photograph's patches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.core.config.networks import BackboneConfig, Facet, TransformerConfig
from stages.core.config.views import IMAGENET_MEAN, IMAGENET_STD, InputCard
from stages.core.config.weights import WeightsFile
from stages.saliency.gray_maps import Image, Map
from stages.saliency.maps import SaliencyMethod, StoredMapConfig

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.errors import UserError

_BATCH = 16
"""Photographs at once; those of one size pass the network together."""


class TokenCutConfig(SaliencyMethod, StoredMapConfig):
    """Patches whose keys are alike are linked; the normalized cut of this graph parts the object from the rest.

    Gray maps hold the cut's eigenvector, scaled so that what is salient (half and above) is what the cut gives.

    Source: Wang et al., "Self-Supervised Transformers for Unsupervised Object Discovery Using Normalized Cut", CVPR
    2022. Their bilateral solver is left out; `grabcut` refines edges here.
    """

    method: Literal["token_cut"] = "token_cut"

    weights: WeightsFile | None = None
    """Of the transformer. With null they are random and the maps mean nothing: a floor, as `pretrain: none`. Weights
    that were learnt from labels make a result not strict."""

    backbone: BackboneConfig = BackboneConfig(name="vit_small_patch16_224")
    """Which transformer; `block` and `facet` beside it stand for its own. TokenCut, section 4.1: DINO's ViT-S/16."""

    block: int = -1
    """Whose vectors are compared, counted from 0, or from -1 backwards. TokenCut, section 4.1: the last."""

    facet: Facet = "keys"
    """Which vectors. TokenCut, section 4.1: keys."""

    side: int = Field(400, ge=16, le=2048)
    """Longer side that the transformer sees photographs at, rounded to whole patches; smaller ones are enlarged.
    Unit: pixels. TokenCut: the photograph's own."""

    centered: bool = True
    """Take the mean of the photograph's vectors off each first. What all keys share changes no attention, but makes
    all cosines alike: above 0.7 in a last block of DINOv2's kind. TokenCut: no, with DINO's keys."""

    similarity: float = Field(0.2, ge=-1, lt=1)
    """Cosine above which two patches are linked. TokenCut, section 4.1: tau = 0.2."""

    weak_edge: float = Field(1e-5, gt=0, lt=1)
    """Weight between patches that are not linked. TokenCut, equation 4: 1e-5."""

    corners: int = Field(2, ge=0, le=4)
    """Corners of the photograph that the object may cover: with more of them, the other side of the cut is the object.
    With 2 the side with more corners is the background. TokenCut: 4, so that the side with the eigenvector's largest
    absolute value always is the object. MaskCut (Wang et al., "Cut and Learn", CVPR 2023, section 3.2): 1."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Channel means that the weights expect to be subtracted, of values in 0..1. ImageNet's."""

    std: tuple[float, float, float] = IMAGENET_STD
    """Channel deviations that the weights expect to be divided by. ImageNet's."""

    def write_maps(self, index: "ImageIndex") -> None:
        """Map all photographs, in batches; those smaller than a patch are named and left out.

        Raises:
            UserError: The network has no such vectors, or its weights do not fit it.
        """
        from stages.core.mapping import Batches, map_batches
        from stages.saliency.normalized_cut.patch_keys import restore_transformer

        restore_transformer(self.described_backbone, self.weights)  # What is wrong with it is said before the work.
        map_batches("saliency", self, index, Batches(self.compute, _BATCH))

    @property
    def described_backbone(self) -> BackboneConfig:
        """The backbone whose features are the vectors that are compared."""
        transformer = (self.backbone.transformer or TransformerConfig()).model_copy(
            update={"blocks": (self.block,), "facet": self.facet}
        )
        return self.backbone.model_copy(update={"transformer": transformer})

    def score(self, images: Sequence[Image]) -> list[Map]:
        """Saliency (h, w) in 0..1 of each patch of photographs (H, W, 3) of any sizes."""
        from stages.saliency.normalized_cut.patch_graph import CutSettings, cut_out_object
        from stages.saliency.normalized_cut.patch_keys import describe_patches, restore_transformer

        network = restore_transformer(self.described_backbone, self.weights)
        described = describe_patches(network, InputCard(mean=self.mean, std=self.std, size=self.side), images)
        settings = CutSettings(self.centered, self.similarity, self.weak_edge, self.corners)
        return [cut_out_object(vectors, settings) for vectors in described]

    def compute(self, images: Sequence[Image]) -> "list[NDArray[np.uint8] | UserError]":
        """Map photographs (H, W, 3); see `PhotoSaliency.compute`. One smaller than a patch has an error for a map."""
        from stages.saliency.normalized_cut.patch_keys import find_problem, restore_transformer

        network = restore_transformer(self.described_backbone, self.weights)
        problems = [find_problem(network, image) for image in images]
        sound = [image for image, problem in zip(images, problems, strict=True) if problem is None]
        maps = iter([self._store(image, scores) for image, scores in zip(sound, self.score(sound), strict=True)])
        return [problem or next(maps) for problem in problems]

    def _store(self, image: Image, scores: Map) -> NDArray[np.uint8]:
        import cv2

        from stages.core.images.working_size import shrink

        small = shrink(image, self.max_side)
        enlarged = cv2.resize(scores, small.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return self.to_stored_map(small, np.asarray(enlarged, np.float32))
