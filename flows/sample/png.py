"""PNG files with stored (uncompressed) data: the same bytes whichever compression library is installed."""

from __future__ import annotations

import struct
from zlib import adler32, crc32

import numpy as np
from numpy.typing import NDArray

_STORED_BLOCK = 65535  # the longest stored block that deflate knows (RFC 1951, 3.2.4)


def encode_stored_png(image: NDArray[np.uint8]) -> bytes:
    """Encode an RGB image (H, W, 3) as a PNG file without compression and without filters.

    Source: PNG specification (W3C, third edition), RFC 1950 and RFC 1951.
    """
    height, width, _ = image.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row starts with its filter type, 0 = none
    rows[:, 1:] = image.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits per channel, color type 2 = RGB
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", _store(rows.tobytes())) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc32(kind + content))


def _store(content: bytes) -> bytes:
    """Wrap bytes as a zlib stream of stored blocks."""
    blocks = [content[start : start + _STORED_BLOCK] for start in range(0, len(content), _STORED_BLOCK)]
    stored = b"".join(
        struct.pack("<BHH", number == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks)
    )
    return b"\x78\x01" + stored + struct.pack(">I", adler32(content))
