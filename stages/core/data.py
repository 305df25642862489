"""Where photographs lie and which files count as such; loads nothing but the standard library."""

from pathlib import Path
from typing import NamedTuple

DATA = Path("data")
ARTIFACTS = Path("artifacts")
IMAGE_SUFFIXES = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes, in lower case, of the files that are taken for photographs."""
IGNORE_ID = 1000
"""Class id of pixels that are not scored. Source: ImageNet-S."""


class Rejected(NamedTuple):
    """A file that could not be used, and why."""

    path: str
    reason: str
