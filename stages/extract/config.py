"""The abstract configs of the stage `extract`."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.params import Params
from stages.core.config.splits import Split

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex


class ExtractConfig(Params, ABC):
    """A method that describes photographs by vectors; its fields are the section `extract` of params.yaml."""

    method: str
    """Names the way."""
    splits: tuple[Split, ...] = Field(("train",), min_length=1)
    """Splits whose photographs are described; clusters are made of these."""
    dtype: Literal["float16", "float32"] = "float32"
    """Of the stored embeddings."""

    @abstractmethod
    def write_vectors(self, index: "ImageIndex") -> None:
        """Write `artifacts/extract`: one vector of every photograph, or of each of its parts, by `artifacts/attend`.

        Args:
            index: The photographs.

        Raises:
            UserError: The model lacks a part that is asked for.
        """
