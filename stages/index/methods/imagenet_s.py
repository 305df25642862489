"""Method `imagenet_s`: the layout of ImageNet-S.

    data/train/CATEGORY/NAME.jpg          data/train-segmentation/CATEGORY/NAME.png (not in ImageNet-S; labels only)
    data/validation/CATEGORY/NAME.jpg     data/validation-segmentation/CATEGORY/NAME.png
    data/test/CATEGORY/NAME.jpg           data/test-segmentation/CATEGORY/NAME.png

Masks hold id = R + 256 G: 0 is "other", 1..C the categories in the order of their folders' names (those in
any split, empty ones too), 1000 is ignored.
A photograph's category is the folder it lies in, never a part of its name: validation and test photographs are filed
under their relabelled category, and five of ImageNet's categories are merged into others. Further folders, as
`train-semi`, are not touched.

Source: Gao et al., Large-scale Unsupervised Semantic Segmentation, TPAMI 2022, section 2; github.com/LUSSeg/ImageNet-S.
"""

from typing import Literal

from pydantic import Field

from stages.core.config.params import Params
from stages.core.config.splits import SPLITS, list_categories
from stages.core.data import IGNORE_ID, IMAGE_SUFFIXES, Rejected
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.files import find_name_problem, image_id_of, list_files
from stages.index.layout import Candidate, Layout

_OTHER_NAMES = {"val": "validation", "valid": "validation", "val-segmentation": "validation-segmentation"}
_MASKS = "-segmentation"


class ImageNetSConfig(Params):
    """Photographs in `<split>/<category>/`, masks under the same names in `<split>-segmentation/<category>/`."""

    method: Literal["imagenet_s"] = "imagenet_s"
    classes: int | None = Field(default=None, ge=1)
    """Categories that there must be; null takes as many as there are folders. One folder too many would shift the ids
    of all that follow it, and every score with them."""

    def find(self) -> Layout:
        """List photographs, masks and categories.

        Raises:
            UserError: There is no `train`, a folder has another set's name, or the number of categories is wrong.
        """
        _check_folders()
        photographs, rejected = [], []
        for split in SPLITS:
            for path in list_files(data_root() / split):
                if problem := _wrong_place(path) or find_name_problem(path, IMAGE_SUFFIXES):
                    rejected.append(Rejected(f"{split}/{path}", problem))
                else:
                    photographs.append(Candidate(f"{split}/{path}", split, path.split("/")[0]))
        masks, rejected_masks = _find_masks()
        classes = list_categories()
        self._check_classes(classes, bool(masks))
        return Layout(photographs, masks, classes, rejected, rejected_masks)

    def explain(self) -> str:
        """Say where photographs are looked for."""
        masks = f"masks as {data_root()}/<split>{_MASKS}/<category>/<photograph>.png"
        return f"in {data_root()}/<split>/<category>/ for the splits {', '.join(SPLITS)}, {masks}"

    def _check_classes(self, classes: list[str], has_masks: bool) -> None:
        data = data_root()
        if self.classes is not None and classes and len(classes) != self.classes:
            raise UserError(
                f"{data}: {len(classes)} category folders ({', '.join(classes[:3])} ...), but index.classes = "
                f"{self.classes}; take out folders that do not belong to the set, or count them again with `luss use`"
            )
        if len(classes) >= IGNORE_ID and has_masks:
            raise UserError(
                f"{data}: {len(classes)} category folders, but masks tell at most 999 apart ({IGNORE_ID} is ignore); "
                f"take out the folders that do not belong to the set, or the folders *{_MASKS}"
            )


def _find_masks() -> tuple[dict[str, str], list[Rejected]]:
    masks, rejected = {}, []
    for split in SPLITS:
        for path in list_files(data_root() / f"{split}{_MASKS}"):
            if problem := find_name_problem(path, (".png",)):
                rejected.append(Rejected(f"{split}{_MASKS}/{path}", problem))
            else:
                masks[f"{split}{_MASKS}/{path}"] = f"{split}/{image_id_of(path)}"
    return masks, rejected


def _wrong_place(path: str) -> str:
    return "" if "/" in path else "lies in no category folder"


def _check_folders() -> None:
    data = data_root()
    if not (data / "train").is_dir():
        inner = next((path.parent for path in sorted(data.glob("*/train")) if path.is_dir()), None)
        hint = f"{inner} holds one: move what is in it one level up. " if inner else ""
        raise UserError(
            f"{data / 'train'}: no such folder. {hint}The layout is {data}/train/CATEGORY/NAME.jpg, likewise "
            "validation and test; for a plain folder of photographs run `luss use METHOD folder`, "
            "for the built-in set `luss sample`"
        )
    for other, name in _OTHER_NAMES.items():
        if (data / other).is_dir() and not (data / name).exists():
            raise UserError(f"{data / other}: this layout calls the folder {name}; rename it")
