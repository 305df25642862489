"""Small photographs and masks for the tests of the stage."""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

from stages.core.config.params import validate_section
from stages.index import Config
from stages.index.__main__ import main


def photograph(width: int = 6, height: int = 4, kind: str = "JPEG", **options: object) -> bytes:
    pixels = np.add.outer(np.arange(height) * 20, np.arange(width) * 15).astype(np.uint8)
    return encode(Image.fromarray(np.stack([pixels, 255 - pixels, pixels // 2], axis=-1)), kind, **options)


def mask(*ids: int, width: int = 6, height: int = 4) -> bytes:
    """A mask as ImageNet-S has them; the ids stand side by side in the first row, the rest is other."""
    values = np.zeros((height, width), int)
    values[0, : len(ids)] = ids
    return encode(Image.fromarray(np.stack([values % 256, values // 256, values * 0], axis=-1).astype(np.uint8)), "PNG")


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def put(path: str, data: bytes) -> None:
    """Write a file of the data set, by its path in `data/`."""
    place = Path("data", path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def run(method: str, **fields: object) -> None:
    main(validate_section("index", {"method": method, **fields}, Config, "params.yaml"))


def rejected(out: str) -> dict[str, str]:
    """Reasons by path in `artifacts/index/<out>/rejected.csv`."""
    with Path(f"artifacts/index/{out}/rejected.csv").open(newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}
