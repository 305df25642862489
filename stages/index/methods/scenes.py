"""Method `scenes`: photographs in which every pixel has a class.

    data/images/train/NAME.jpg     data/annotations/train/NAME.png
    data/images/val/NAME.jpg       data/annotations/val/NAME.png
    data/images/test/NAME.jpg      data/annotations/test/NAME.png
    data/classes.txt               one name per line; the ids count from 0 (not needed where `classes` is given)

Folders below the splits may be nested and may be links; the folder of a photograph says nothing about it. Annotations
are single-channel PNG of ids.

Source: the layout of MMSegmentation's data sets, by which ViCE is evaluated.
"""

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stages.core.config.params import Params
from stages.core.config.splits import Split
from stages.core.data import IGNORE_ID, IMAGE_SUFFIXES, Rejected
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.files import find_name_problem, image_id_of, list_files, read_text
from stages.index.layout import Candidate, Layout

_FOLDERS: dict[str, Split] = {"train": "train", "val": "validation", "test": "test"}
_NAMES = "classes.txt"

Id = Annotated[int, Field(ge=0, le=65535)]


class ScenesConfig(Params):
    """Photographs in `images/<split>/`, annotations under the same names in `annotations/<split>/`."""

    method: Literal["scenes"] = "scenes"
    classes: dict[str, tuple[Id, ...]] | None = None
    """The ids of the annotations that make up each class: several for a merge. null takes the names of classes.txt, one
    id each."""
    void: tuple[Id, ...] = (255,)
    """Ids whose pixels are not scored. An annotation with an id that is neither a class nor void is rejected."""
    image_ending: str = ""
    """What photographs' names end in and their annotations' do not. Cityscapes: _leftImg8bit."""
    annotation_ending: str = ""
    """What annotations' names end in and their photographs' do not; other files beside them are left alone.
    Cityscapes: _gtFine_labelIds."""

    @field_validator("classes")
    @classmethod
    def _has_classes(cls, classes: dict[str, tuple[int, ...]] | None) -> dict[str, tuple[int, ...]] | None:
        if classes is not None and not 0 < len(classes) < IGNORE_ID:
            raise ValueError(f"between 1 and {IGNORE_ID - 1} classes")
        return classes

    @model_validator(mode="after")
    def _has_every_id_once(self) -> "ScenesConfig":
        ids = Counter([*self.void, *(each for merged in (self.classes or {}).values() for each in merged)])
        if twice := [each for each, count in ids.items() if count > 1]:
            raise ValueError(f"id {', '.join(map(str, twice))} stands twice among `classes` and `void`")
        return self

    def find(self) -> Layout:
        """List photographs, annotations and classes.

        Raises:
            UserError: There is no `images/train`, or no list of classes for the annotations.
        """
        if not (train := data_root() / "images" / "train").is_dir():
            raise UserError(f"{train}: no such folder. Photographs are looked for {self.explain()}")
        photographs, rejected = self._find_photographs()
        masks, rejected_masks = self._find_annotations()
        merged = self._find_classes() if masks or self.classes else {}
        ids = {each: place for place, members in enumerate(merged.values(), start=1) for each in members}
        ids |= dict.fromkeys(self.void, IGNORE_ID)
        return Layout(photographs, masks, list(merged), rejected, rejected_masks, ids)

    def explain(self) -> str:
        """Say where photographs are looked for."""
        data = data_root()
        return f"in {data}/images/<split>/ for the splits {', '.join(_FOLDERS)}, annotations in {data}/annotations/"

    def _find_photographs(self) -> tuple[list[Candidate], list[Rejected]]:
        found, rejected = [], []
        for folder, split in _FOLDERS.items():
            for path in list_files(data_root() / "images" / folder):
                if problem := find_name_problem(path, IMAGE_SUFFIXES):
                    rejected.append(Rejected(f"images/{folder}/{path}", problem))
                else:
                    found.append(Candidate(f"images/{folder}/{path}", split, None))
        return found, rejected

    def _find_annotations(self) -> tuple[dict[str, str], list[Rejected]]:
        found, rejected = {}, []
        for folder in _FOLDERS:
            for path in list_files(data_root() / "annotations" / folder):
                if not image_id_of(path).endswith(self.annotation_ending):
                    continue
                if problem := find_name_problem(path, (".png",)):
                    rejected.append(Rejected(f"annotations/{folder}/{path}", problem))
                else:
                    name = image_id_of(path).removesuffix(self.annotation_ending) + self.image_ending
                    found[f"annotations/{folder}/{path}"] = f"images/{folder}/{name}"
        return found, rejected

    def _find_classes(self) -> dict[str, tuple[int, ...]]:
        if self.classes is not None:
            return self.classes
        path = data_root() / _NAMES
        if not path.is_file():
            raise UserError(f"{path}: no such file; write one name per line, or give the ids in index.classes")
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        if not names or len(set(names)) < len(names) or set(range(len(names))) & set(self.void):
            raise UserError(f"{path}: wants one name per line, each once, and none for an id in index.void")
        return {name: (number,) for number, name in enumerate(names)}
