"""Method `scenes`: photographs in which every pixel has a class.

    data/images/train/NAME.jpg     data/annotations/train/NAME.png
    data/images/val/NAME.jpg       data/annotations/val/NAME.png
    data/images/test/NAME.jpg      data/annotations/test/NAME.png
    data/classes.txt               one name per line; the ids count from 0 (not needed where `classes` is given)

Folders below the splits may be nested and may be links; the folder of a photograph says nothing about it. Annotations
are single-channel PNG of ids.

Source: the layout of MMSegmentation's data sets, by which ViCE is evaluated.
"""

from typing import Literal

from pydantic import model_validator

from stages.core.config.params import Params
from stages.core.config.splits import Split
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.files import list_files, read_text
from stages.index.class_ids import ClassIds, Id, check_ids, number_classes
from stages.index.layout import Layout
from stages.index.pairing import Endings, PairFolders, find_pairs

_FOLDERS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
_NAMES = "classes.txt"


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

    @model_validator(mode="after")
    def _has_every_id_once(self) -> "ScenesConfig":
        if self.classes is not None:
            check_ids(self.classes, self.void)
        return self

    def find(self) -> Layout:
        """List photographs, annotations and classes.

        Raises:
            UserError: There is no `images/train`, or no list of classes for the annotations.
        """
        if not (train := data_root() / "images" / "train").is_dir():
            raise UserError(f"{train}: no such folder. Photographs are looked for {self.explain()}")
        splits = {
            split: PairFolders(photographs=(f"images/{name}",), masks=(f"annotations/{name}",))
            for split, name in _FOLDERS.items()
        }
        classes = self._find_classes()
        ids = number_classes(classes, (), self.void)
        return find_pairs(splits, Endings(self.image_ending, self.annotation_ending), list(classes), ids)

    def explain(self) -> str:
        """Say where photographs are looked for."""
        data, splits = data_root(), ", ".join(_FOLDERS.values())
        return f"in {data}/images/<split>/ for the splits {splits}, annotations in {data}/annotations/"

    def _find_classes(self) -> ClassIds:
        if self.classes is not None:
            return self.classes
        if not list_files(data_root() / "annotations"):
            return {}
        path = data_root() / _NAMES
        if not path.is_file():
            raise UserError(f"{path}: no such file; write one name per line, or give the ids in index.classes")
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        if not names or len(set(names)) < len(names) or set(range(len(names))) & set(self.void):
            raise UserError(f"{path}: wants one name per line, each once, and none for an id in index.void")
        return {name: (number,) for number, name in enumerate(names)}
