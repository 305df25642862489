"""Index: list the usable photographs and, in an artifact of its own, their labels.

Reads `data/`, every file once. Writes `artifacts/index/images` (path, size and content hash of each photograph that can
be used) and `artifacts/index/labels` (masks and categories), two artifacts, so that no stage depends on labels by
accident. Files that cannot be used are listed with the reason in `rejected.csv` of the artifact that misses them.

No other stage makes DVC walk through `data/`: a changed photograph changes the index, and so all that follows.
"""

from typing import Annotated

from pydantic import Field

from stages.index.methods.folder import FolderConfig
from stages.index.methods.imagenet_s import ImageNetSConfig
from stages.index.methods.pairs import PairsConfig
from stages.index.methods.scenes import ScenesConfig
from stages.index.methods.tiny_imagenet import TinyImageNetConfig

# fmt: off
Config = Annotated[
    FolderConfig
    | ImageNetSConfig
    | PairsConfig
    | ScenesConfig
    | TinyImageNetConfig,
    Field(discriminator="method"),
]
