"""Forward pass through a vision transformer that returns features, tokens and attention of chosen blocks."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stages.core.config.networks import TransformerConfig
from stages.core.nets.positions import resize_positions
from stages.core.nets.self_attention import attend, project

_PROJECTIONS = ("queries", "keys", "values")


class BlockRequest(NamedTuple):
    """Blocks, counted from 0, whose outputs are wanted."""

    features: tuple[int, ...]
    """Whose facet is wanted."""
    attention: int | None = None
    """Whose attention is wanted."""
    tokens: tuple[int, ...] = ()
    """Whose tokens are wanted as they leave it."""

    @property
    def last(self) -> int:
        """The last block that has to run."""
        return max(*self.features, *self.tokens, self.attention or 0)


class BlockOutputs(NamedTuple):
    """Outputs of the requested blocks; N tokens: P before the patches, then h w patches row by row."""

    grid: tuple[int, int]
    """h and w."""
    features: list[Tensor]
    """(B, N, D) per wanted block."""
    tokens: list[Tensor]
    """(B, N, D) per wanted block."""
    attention: Tensor | None
    """(B, heads, P, N)"""


def run_blocks(network: Any, images: Tensor, config: TransformerConfig, wanted: BlockRequest) -> BlockOutputs:
    """Run images (B, 3, H, W) through the blocks, up to the last one that is requested."""
    tokens, grid = _embed(network, images, config)
    features: dict[int, Tensor] = {}
    left: dict[int, Tensor] = {}
    attention = None
    blocks = network.blocks[: wanted.last + 1]
    for number, (block, rotation) in enumerate(zip(blocks, _rotations(network, grid), strict=False)):
        if number == wanted.attention:
            attention = attend(block, tokens, rotation, network.num_prefix_tokens)
        if number in wanted.features and config.facet != "tokens":
            features[number] = project(block, tokens)[_PROJECTIONS.index(config.facet)]
        tokens = block(tokens) if rotation is None else block(tokens, rope=rotation)
        if number in wanted.features and config.facet == "tokens":
            features[number] = network.norm(tokens) if config.norm else tokens
        left[number] = tokens
    return BlockOutputs(
        grid, [features[each] for each in wanted.features], [left[each] for each in wanted.tokens], attention
    )


class EnteringTokens(NamedTuple):
    """What a block gets; N tokens: P before the patches, then h w patches row by row."""

    tokens: Tensor
    """(B, N, D)"""
    rotation: Tensor | None
    """Rotary positions of the patches; None for none."""
    grid: tuple[int, int]
    """h and w."""


def enter_last_block(network: Any, images: Tensor, config: TransformerConfig) -> EnteringTokens:
    """Run images (B, 3, H, W) through all blocks but the last."""
    tokens, grid = _embed(network, images, config)
    *rotations, last = _rotations(network, grid)
    for block, rotation in zip(network.blocks, rotations, strict=False):
        tokens = block(tokens) if rotation is None else block(tokens, rope=rotation)
    return EnteringTokens(tokens, last, grid)


def _embed(network: Any, images: Tensor, config: TransformerConfig) -> tuple[Tensor, tuple[int, int]]:
    """Tokens (B, N, D) that enter the first block, and the grid of patches."""
    patches = network.patch_embed(images)  # (B, h, w, D), padded to whole patches
    grid = (patches.shape[1], patches.shape[2])
    patches = patches.flatten(1, 2)
    prefix = [
        token.expand(len(images), -1, -1) for token in (network.cls_token, network.reg_token) if token is not None
    ]
    if network.pos_embed is not None:
        placed = 0 if network.no_embed_class else network.num_prefix_tokens
        positions = resize_positions(
            network.pos_embed[:, placed:], network.patch_embed.grid_size, grid, config.positions
        )
        patches = patches + positions
        if placed:
            prefix = [torch.cat(prefix, 1) + network.pos_embed[:, :placed]]
    return network.norm_pre(torch.cat([*prefix, patches], 1)), grid


def _rotations(network: Any, grid: tuple[int, int]) -> Iterator[Tensor | None]:
    """Rotary positions for each block in turn; None for networks without."""
    rope = getattr(network, "rope", None)
    rotations = None if rope is None else rope.get_embed(shape=grid)
    for number in range(len(network.blocks)):
        yield rotations[number] if rotations is not None and network.rope_mixed else rotations
