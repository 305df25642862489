"""Inside a block of one of timm's vision transformers: queries, keys, values and attention."""

from functools import partial
from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


def is_plain_block(block: nn.Module) -> bool:
    """Whether a block normalizes, projects to queries, keys and values of as many heads each, and attends."""
    attention = cast(Any, block).attn if hasattr(block, "norm1") and hasattr(block, "attn") else None
    if not hasattr(attention, "qkv") or getattr(attention, "num_kv_groups", 1) != 1:
        return False
    return type(block).__name__ in ("Block", "EvaBlock") and type(attention).__name__ != "DiffAttention"


def project(block: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (B, N, D) of the tokens (B, N, D) that enter a block, heads side by side.

    They are what the linear layer gives: before norms of queries and keys, and before rotary positions.
    """
    attention = cast(Any, block).attn
    normalized = cast(Any, block).norm1(tokens)
    if attention.qkv is None:
        layers = (attention.q_proj, attention.k_proj, attention.v_proj)
        queries, keys, values = (layer(normalized) for layer in layers)
        return queries, keys, values
    bias = attention.qkv.bias
    if getattr(attention, "q_bias", None) is not None:  # Eva keeps the biases apart, that of the keys is fixed at 0
        bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    queries, keys, values = F.linear(normalized, attention.qkv.weight, bias).chunk(3, -1)
    return queries, keys, values


def attend(block: nn.Module, tokens: Tensor, rotation: Tensor | None, prefix: int) -> Tensor:
    """Attention of the first `prefix` tokens to all tokens.

    Args:
        block: Whose attention.
        tokens: (B, N, D) that enter it.
        rotation: Rotary positions of the patches, as timm gives them; None for none.
        prefix: P, tokens before the patches, which have no rotary position.

    Returns:
        (B, heads, P, N), summing to 1 over N.
    """
    queries, keys, _ = project(block, tokens)
    return share_attention(block, queries[:, :prefix], keys, rotation)


def share_attention(block: nn.Module, queries: Tensor, keys: Tensor, rotation: Tensor | None) -> Tensor:
    """Attention of the first P tokens to all tokens, of what `project` gives.

    Args:
        block: Whose attention.
        queries: (B, P, D) of tokens before the patches, which have no rotary position.
        keys: (B, N, D) of all tokens.
        rotation: Rotary positions of the patches, as timm gives them; None for none.

    Returns:
        (B, heads, P, N), summing to 1 over N.
    """
    attention = cast(Any, block).attn
    apart = partial(rearrange, pattern="b n (heads d) -> b heads n d", heads=attention.num_heads)
    queries, keys = attention.q_norm(apart(queries)), attention.k_norm(apart(keys))
    if rotation is not None:
        prefix = keys.shape[2] - rotation.shape[-2]
        keys = torch.cat([keys[:, :, :prefix], _rotate(keys[:, :, prefix:], rotation, attention)], 2)
    logits: Tensor = queries @ keys.transpose(-2, -1) * attention.scale
    return logits.float().softmax(-1)


def leave_block(block: nn.Module, entering: Tensor, mixed: Tensor) -> Tensor:
    """What becomes of a token behind a block's attention, which mixes no tokens any more.

    Args:
        block: Which.
        entering: (..., D) the tokens as they enter it.
        mixed: (..., D) the values that they attend to, weighed by their attention, heads side by side.

    Returns:
        (..., D): the tokens as they leave it.
    """
    inner = cast(Any, block)
    attended = inner.attn.norm(mixed)
    if getattr(inner.attn, "gate", None) is not None:
        attended = attended * inner.attn.gate(inner.norm1(entering)).sigmoid()
    tokens: Tensor = entering + _scale(inner, 1, inner.attn.proj(attended))
    return tokens + _scale(inner, 2, inner.mlp(inner.norm2(tokens)))


def _scale(block: Any, number: int, change: Tensor) -> Tensor:
    """Layer scale: a module of timm's `Block`, a parameter or None of its `EvaBlock`."""
    if hasattr(block, f"ls{number}"):
        return cast(Tensor, getattr(block, f"ls{number}")(change))
    gamma = getattr(block, f"gamma_{number}")
    return change if gamma is None else gamma * change


def _rotate(heads: Tensor, rotation: Tensor, attention: Any) -> Tensor:
    from timm.layers import apply_rot_embed_cat

    return cast(Tensor, apply_rot_embed_cat(heads, rotation, half=attention.rotate_half)).type_as(heads)
