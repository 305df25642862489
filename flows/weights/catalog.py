"""Self-supervised vision transformers on the Hugging Face hub, by the names that `luss weights get` takes."""

from __future__ import annotations

from typing import NamedTuple

from stages.core.config.networks import Positions
from stages.core.errors import UserError, close_names

FILE = "model.safetensors"


class Offer(NamedTuple):
    """A file of weights on the hub."""

    name: str
    method: str
    repository: str
    license: str
    megabytes: int
    """Of the file, in units of 10^6 bytes."""

    @property
    def positions(self) -> Positions:
        """How its authors interpolate position embeddings; the file alone does not tell, it has timm's names."""
        if "reg4" in self.name:
            return "antialiased"
        return _POSITIONS.get(self.method, "antialiased")


def _timm(tag: str, method: str, license: str, **sizes: int) -> tuple[Offer, ...]:
    """What timm keeps for a method: `name=megabytes`, with timm's names of the networks."""
    return tuple(Offer(f"{name}.{tag}", method, f"timm/{name}.{tag}", license, size) for name, size in sizes.items())


_POSITIONS: dict[str, Positions] = {"DINO": "dino", "DINOv2": "dino", "MAE": "plain", "MoCo v3": "plain"}


OFFERS = (
    *_timm(
        "dino",
        "DINO",
        "Apache-2.0",
        vit_small_patch16_224=87,
        vit_small_patch8_224=87,
        vit_base_patch16_224=343,
        vit_base_patch8_224=343,
    ),
    *_timm(
        "lvd142m",
        "DINOv2",
        "Apache-2.0",
        vit_small_patch14_dinov2=88,
        vit_base_patch14_dinov2=346,
        vit_large_patch14_dinov2=1217,
        vit_giant_patch14_dinov2=4546,
        vit_small_patch14_reg4_dinov2=88,
        vit_base_patch14_reg4_dinov2=346,
        vit_large_patch14_reg4_dinov2=1217,
    ),
    *(
        Offer(f"{name}.lvd1689m", "DINOv3", f"facebook/dinov3-{short}-pretrain-lvd1689m", "dinov3-license", size)
        for name, short, size in (
            ("vit_small_patch16_dinov3", "vits16", 86),
            ("vit_small_plus_patch16_dinov3", "vits16plus", 115),
            ("vit_base_patch16_dinov3", "vitb16", 343),
            ("vit_large_patch16_dinov3", "vitl16", 1212),
        )
    ),
    *_timm(
        "mae",
        "MAE",
        "CC-BY-NC-4.0",
        vit_base_patch16_224=343,
        vit_large_patch16_224=1213,
        vit_huge_patch14_224=2523,
    ),
    Offer("vit_base_patch16_224.mocov3", "MoCo v3", "nyu-visionx/moco-v3-vit-b", "CC-BY-NC-4.0", 346),
    Offer("vit_large_patch16_224.mocov3", "MoCo v3", "nyu-visionx/moco-v3-vit-l", "CC-BY-NC-4.0", 1217),
)
"""DINOv3's authors give their weights to those alone who have accepted its terms on the hub."""


def find_offer(name: str) -> Offer:
    """Look up weights by name.

    Raises:
        UserError: There are none.
    """
    found = {offer.name: offer for offer in OFFERS}
    if name not in found:
        raise UserError(f"{name}: no such weights{close_names(name, found)}; `luss weights get` lists all")
    return found[name]
