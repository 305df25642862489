"""Legends as pictures."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stages.core.image_files import UInt8

_ROW, _LEFT, _BORDER = 24, 52, 8


def draw_legend(lines: Sequence[tuple[str, UInt8]]) -> UInt8:
    """Draw lines of text, each behind a box of its color (3,) RGB, as wide as the longest needs.

    The font that comes with Pillow holds ASCII: letters are drawn without their accents, others as question marks.
    """
    font = ImageFont.load_default(13)
    lines = [(_to_ascii(text), color) for text, color in lines]
    width = max((int(font.getlength(text)) for text, _ in lines), default=0)
    picture = Image.new("RGB", (_LEFT + width + _BORDER, _ROW * len(lines) + _BORDER), "white")
    draw = ImageDraw.Draw(picture)
    for number, (text, color) in enumerate(lines):
        top = _BORDER // 2 + number * _ROW
        draw.rectangle((8, top + 4, 40, top + _ROW - 4), fill=tuple(int(part) for part in color))
        draw.text((_LEFT, top + 4), text, "black", font)
    return np.asarray(picture)


def _to_ascii(text: str) -> str:
    bare = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return bare.encode("ascii", "replace").decode()
