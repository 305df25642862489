"""The abstract config of the stage `extract`."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.params import Params
from stages.core.config.splits import Split

if TYPE_CHECKING:
    from stages.core.artifacts.features import Embeddings
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.artifacts.models import Model


class ExtractConfig(Params, ABC):
    """A method that describes photographs by vectors; its fields are the section `extract` of params.yaml."""

    method: str
    """Names the way."""
    splits: tuple[Split, ...] = Field(("train",), min_length=1)
    """Splits whose photographs are described; clusters are made of these."""
    dtype: Literal["float16", "float32"] = "float32"
    """Of the stored embeddings."""

    @abstractmethod
    def extract(self, model: "Model", index: "ImageIndex") -> "Embeddings":
        """Describe every photograph of an index by one vector, or by one for each of its regions.

        Args:
            model: The model `artifacts/attend`.
            index: The photographs.

        Returns:
            The vectors in the index's order, made as they are asked for, and their size D.

        Raises:
            UserError: The model lacks a part that is asked for.
        """
