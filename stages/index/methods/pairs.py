"""Method `pairs`: photographs and masks in folders of their own, as most data sets are downloaded.

A recipe says, for each split, where its photographs and masks lie and which list names them (Pascal VOC's
`ImageSets/Segmentation/val.txt`), what names begin and end in, and which ids of the masks are which class, background
or void. Masks hold one id per pixel: gray, or a palette whose indices are the ids, as Pascal VOC's. The folder of a
photograph says nothing about it.
"""

from typing import Literal

from pydantic import Field, model_validator

from stages.core.config.params import Params
from stages.core.config.splits import Split
from stages.core.data_link import data_root
from stages.index.class_ids import Id, check_ids, number_classes
from stages.index.layout import Layout
from stages.index.pairing import Endings, PairFolders, find_pairs


class PairsConfig(Params):
    """Photographs, and masks under the same names in other folders."""

    method: Literal["pairs"] = "pairs"
    splits: dict[Split, PairFolders] = Field(min_length=1)
    """Where the photographs and masks of each split lie. Only train must be there."""
    classes: dict[str, tuple[Id, ...]]
    """The ids of the masks that make up each class: several for a merge."""
    background: tuple[Id, ...] = ()
    """Ids whose pixels are of no class and are scored so; none where every pixel has a class."""
    void: tuple[Id, ...] = (255,)
    """Ids whose pixels are not scored. A mask with an id that is none of all these is rejected."""
    image_ending: str = ""
    """What photographs' names end in and their masks' do not. Cityscapes: _leftImg8bit."""
    annotation_ending: str = ""
    """What masks' names end in and their photographs' do not; other files beside them are left alone. Cityscapes:
    _gtFine_labelIds."""

    @model_validator(mode="after")
    def _has_every_id_once(self) -> "PairsConfig":
        check_ids(self.classes, self.background, self.void)
        return self

    @model_validator(mode="after")
    def _has_train(self) -> "PairsConfig":
        if "train" not in self.splits:
            raise ValueError("splits name no train, which all methods learn from")
        return self

    def find(self) -> Layout:
        """List photographs, masks and classes; raises as `find_pairs` does."""
        ids = number_classes(self.classes, self.background, self.void)
        return find_pairs(self.splits, Endings(self.image_ending, self.annotation_ending), list(self.classes), ids)

    def explain(self) -> str:
        """Say where photographs are looked for."""
        places = (
            f"{data_root() / ' or '.join(folders.photographs)} ({split})" for split, folders in self.splits.items()
        )
        return f"in {', '.join(places)}"
