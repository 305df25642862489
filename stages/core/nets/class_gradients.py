"""How the class token's attention would have to change for it to come closer to given vectors (Grad-CAM).

In a vision transformer's last block the class token takes part in one row of the attention only: what the other tokens
attend to never reaches it. One pass up to there, and the way of one token from there on, give the gradients for any
number of vectors.

Source: Selvaraju et al., "Grad-CAM", ICCV 2017, on the attention, as TransFGU (Yin et al., ECCV 2022), section 3.2.
"""

from typing import Any, NamedTuple, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.config.networks import BackboneConfig, TransformerConfig
from stages.core.errors import UserError
from stages.core.nets.self_attention import leave_block, project, share_attention
from stages.core.nets.transformer_pass import enter_last_block
from stages.core.nets.transformers import check_attention, check_class_token, is_transformer


class ClassGradients(NamedTuple):
    """Of a batch of images, as means over the heads of the last block."""

    attention: Tensor
    """(B, h, w): the class token's attention to each patch."""
    gradients: Tensor
    """(B, K, h, w): the gradient of its cosine to each of K vectors with respect to this attention."""


def check_gradients(backbone: nn.Module) -> None:
    """Check that a network has what `class_gradients` needs.

    Raises:
        UserError: It is no vision transformer, has no class token, or its features are not the last block's tokens.
    """
    name, config = cast(BackboneConfig, backbone.card).name, _config(backbone)
    if not is_transformer(backbone):
        raise UserError(f"{name} has no class token whose attention could be read; take a vision transformer")
    check_class_token(backbone)
    check_attention(backbone)
    depth = len(cast(Any, backbone).blocks)
    if config.facet != "tokens" or [block % depth for block in config.blocks] != [depth - 1]:
        raise UserError(
            f"backbone.transformer: blocks {list(config.blocks)}, {config.facet}; gradients are those of the last "
            "block's tokens: train or take the model with blocks: [-1] and facet: tokens"
        )


def class_gradients(backbone: nn.Module, images: Tensor, vectors: Tensor) -> ClassGradients:
    """Attention and gradients of a batch; no parameter gets a gradient.

    Args:
        backbone: A vision transformer that `check_gradients` accepts, in eval mode.
        images: (B, 3, H, W) normalized.
        vectors: (K, D), of any length.
    """
    network, config = cast(Any, backbone), _config(backbone)
    block, prefix = network.blocks[-1], network.num_prefix_tokens
    with torch.no_grad():
        entering = enter_last_block(network, images, config)
        queries, keys, values = project(block, entering.tokens)
        shares = share_attention(block, queries[:, :1], keys, entering.rotation)[:, :, 0]  # (B, heads, N)
        by_head = rearrange(values, "b n (heads d) -> b heads n d", heads=shares.shape[1])
        mixed = rearrange(torch.einsum("bhn,bhnd->bhd", shares, by_head), "b heads d -> b (heads d)")
    change = _cosine_gradients(network, config, entering.tokens[:, 0], mixed, vectors)  # (B, K, D)
    # A head's attention weighs its own part of the values: the sum over heads is one product of whole vectors.
    gradients = change @ values[:, prefix:].transpose(1, 2) / shares.shape[1]
    height = entering.grid[0]
    return ClassGradients(
        rearrange(shares.mean(1)[:, prefix:], "b (h w) -> b h w", h=height),
        rearrange(gradients, "b k (h w) -> b k h w", h=height),
    )


def _cosine_gradients(
    network: Any, config: TransformerConfig, entering: Tensor, mixed: Tensor, vectors: Tensor
) -> Tensor:
    """(B, K, D): gradients of the cosines with respect to the values that the class token has gathered, `mixed` (B, D).

    There is one copy of the token for each vector, so that one backward pass gives all gradients.
    """
    copies = (len(mixed), len(vectors), -1)
    with torch.enable_grad():
        gathered = mixed[:, None].expand(copies).contiguous().requires_grad_()
        tokens = leave_block(network.blocks[-1], entering[:, None].expand(copies), gathered)
        tokens = network.norm(tokens) if config.norm else tokens
        cosines = F.cosine_similarity(tokens, vectors.to(tokens)[None], dim=-1)
        return torch.autograd.grad(cosines.sum(), gathered)[0]


def _config(backbone: nn.Module) -> TransformerConfig:
    return cast(BackboneConfig, backbone.card).transformer or TransformerConfig()
