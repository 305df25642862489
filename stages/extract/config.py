"""The abstract configs of the stage `extract`."""

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
    def write_vectors(self, model: "Model", index: "ImageIndex") -> None:
        """Write `artifacts/extract`: one vector of every photograph, or one for each of its parts.

        Args:
            model: The model `artifacts/attend`.
            index: The photographs.

        Raises:
            UserError: The model lacks a part that is asked for.
        """


class StreamedVectors(ExtractConfig):
    """A method that describes one batch of photographs after another, in this process."""

    @abstractmethod
    def extract(self, model: "Model", index: "ImageIndex") -> "Embeddings":
        """The vectors in the index's order, made as they are asked for, and their size D; see `write_vectors`."""

    def write_vectors(self, model: "Model", index: "ImageIndex") -> None:
        """Write the vectors as they are made; see `ExtractConfig.write_vectors`."""
        from stages.core.artifacts.features import write_features

        described = self.extract(model, index)
        write_features(described.rows, described.size, self.dtype, self.method, described.space)
