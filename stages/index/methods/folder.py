"""Method `folder`: any folder of photographs, nested or flat."""

from typing import Literal

from stages.core.config.params import Params
from stages.core.data import IMAGE_SUFFIXES, Rejected
from stages.core.data_link import data_root
from stages.core.files import find_name_problem, list_files
from stages.index.layout import Candidate, Layout


class FolderConfig(Params):
    """Every photograph below `data/` belongs to the split train; there are no categories and no masks."""

    method: Literal["folder"] = "folder"

    def find(self) -> Layout:
        """List the photographs."""
        photographs, rejected = [], []
        for path in list_files(data_root()):
            if problem := find_name_problem(path, IMAGE_SUFFIXES):
                rejected.append(Rejected(path, problem))
            else:
                photographs.append(Candidate(path, "train", None))
        return Layout(photographs, {}, [], rejected, [])

    def explain(self) -> str:
        """Say where photographs are looked for."""
        return f"anywhere below {data_root()}/"
