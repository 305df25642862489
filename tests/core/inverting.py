"""A small stage for test_mapping: inverts photographs, and hangs at later ones while there is a folder `hang`.

The first pixel of a photograph holds its number. A process that hangs writes its id into the folder.
"""

import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.image_index import read_images
from stages.core.cli import guard
from stages.core.config.params import Params
from stages.core.image_files import UInt8
from stages.core.mapping import map_photos

HANGING = 64
"""Number of the first photograph that hangs; it begins the second shard."""


class Inverting(Params):
    method: str = "inverting"


def invert(photo: UInt8) -> npt.NDArray[np.generic]:
    while photo[0, 0, 0] >= HANGING and Path("hang").exists():
        Path("hang", str(os.getpid())).touch()
        time.sleep(0.05)
    return 255 - photo[..., 0]


def main() -> None:
    map_photos("saliency", Inverting(), read_images(), invert)


if __name__ == "__main__":
    raise SystemExit(guard("saliency", main))
