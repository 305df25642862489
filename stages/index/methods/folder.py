"""Method `folder`: any folder of photographs, nested or flat."""

from typing import Literal

from pydantic import Field

from stages.core.config.params import Params
from stages.core.data import IMAGE_SUFFIXES, Rejected
from stages.core.data_link import data_root
from stages.core.files import find_name_problem, list_files
from stages.index.layout import Candidate, Layout


class FolderConfig(Params):
    """Every photograph below `data/` belongs to the split train; there are no categories and no masks."""

    method: Literal["folder"] = "folder"

    limit: int | None = Field(None, ge=2)
    """Photographs that are taken, evenly spread over their sorted paths; null for all."""

    def find(self) -> Layout:
        """List the photographs."""
        photographs, rejected = [], []
        for path in list_files(data_root()):
            if problem := find_name_problem(path, IMAGE_SUFFIXES):
                rejected.append(Rejected(path, problem))
            else:
                photographs.append(Candidate(path, "train", None))
        return Layout(self._limited(photographs), {}, [], rejected, [])

    def _limited(self, found: list[Candidate]) -> list[Candidate]:
        if self.limit is None or len(found) <= self.limit:
            return found
        return [found[number * len(found) // self.limit] for number in range(self.limit)]

    def explain(self) -> str:
        """Say where photographs are looked for."""
        return f"anywhere below {data_root()}/"
