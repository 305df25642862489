"""The mask transformer: patches and classes attend to each other, and their cosines are the logits.

Source: Strudel et al., Segmenter: Transformer for Semantic Segmentation, ICCV 2021, section 3.2, as TransFGU (section
3.1) uses it as its decoder.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.config.networks import MaskTransformerConfig
from stages.core.errors import UserError

_MLP_RATIO = 4
_STD = 0.02
"""Of the weights that linear layers start with. Segmenter's code, as ViT's."""


class Masks(NamedTuple):
    """Logits of a batch, and the vectors of the classes that they come from."""

    logits: Tensor
    """(B, K, h, w)"""
    classes: Tensor
    """(B, K, D), of length 1: behind the blocks, so those of each image."""


class MaskTransformer(nn.Module):
    """A map of features and K learnt class embeddings pass blocks of attention together.

    Behind them patches and classes are each multiplied by a learnt matrix and brought to length 1. Their cosines,
    normalized over the classes of a patch (layer norm), are the logits.

    Args:
        size: Channels of the features.
        config: Number of classes, width and depth.

    Raises:
        UserError: The heads of attention do not share the width evenly.
    """

    def __init__(self, size: int, config: MaskTransformerConfig) -> None:
        from timm.models.vision_transformer import Block

        super().__init__()
        if config.width % config.heads:
            raise UserError(f"heads = {config.heads}: does not divide the {config.width} channels of the decoder")
        self.card = config
        width, dropout = config.width, config.dropout
        self.project = nn.Linear(size, width)
        self.classes = nn.Parameter(torch.empty(1, config.clusters, width))
        self.blocks = nn.Sequential(
            *(
                Block(width, config.heads, _MLP_RATIO, qkv_bias=True, proj_drop=dropout, attn_drop=dropout)
                for _ in range(config.blocks)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.patch_matrix = nn.Parameter(torch.randn(width, width) * width**-0.5)
        self.class_matrix = nn.Parameter(torch.randn(width, width) * width**-0.5)
        self.logit_norm = nn.LayerNorm(config.clusters)
        self._draw()

    def _draw(self) -> None:
        """Draw the first weights; class embeddings start at right angles, as far as there is room."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=_STD)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.orthogonal_(self.classes[0])

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) to logits (B, K, h, w)."""
        return self.decode(features).logits

    def decode(self, features: Tensor) -> Masks:
        """Logits, and the classes' vectors beside them, of features (B, D, h, w)."""
        height = features.shape[2]
        patches = self.project(rearrange(features, "b d h w -> b (h w) d"))
        tokens = self.norm(self.blocks(torch.cat([patches, self.classes.expand(len(patches), -1, -1)], 1)))
        places = patches.shape[1]
        directions = F.normalize(tokens[:, :places] @ self.patch_matrix, dim=-1)
        classes = F.normalize(tokens[:, places:] @ self.class_matrix, dim=-1)
        logits = self.logit_norm(directions @ classes.transpose(1, 2))
        return Masks(rearrange(logits, "b (h w) k -> b k h w", h=height), classes)
