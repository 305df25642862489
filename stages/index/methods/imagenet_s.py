"""Method `imagenet_s`: the layout of ImageNet-S.

    data/train/CATEGORY/NAME.jpg          data/train-segmentation/CATEGORY/NAME.png (not in ImageNet-S; labels only)
    data/validation/CATEGORY/NAME.jpg     data/validation-segmentation/CATEGORY/NAME.png
    data/test/CATEGORY/NAME.jpg           data/test-segmentation/CATEGORY/NAME.png
    data/train-semi/CATEGORY/NAME.jpg     data/train-semi-segmentation/CATEGORY/NAME.png

Masks hold id = R + 256 G: 0 is "other", 1..C the categories in the order of their folders' names (those in
any split, empty ones too), 1000 is ignored.
A photograph's category is the folder it lies in, never a part of its name: validation and test photographs are filed
under their relabelled category, and five of ImageNet's categories are merged into others. The photographs of
`train-semi` are some of train (ten per category) that have masks: each is taken once, under its name in train, and its
mask is what supervised stages and evaluators learn from. Further folders are not touched.

Source: Gao et al., Large-scale Unsupervised Semantic Segmentation, TPAMI 2022, section 2; github.com/LUSSeg/ImageNet-S.
"""

from typing import Literal

from pydantic import Field

from stages.core.config.params import Params
from stages.core.config.splits import SPLITS, Split, list_categories
from stages.core.data import IGNORE_ID, IMAGE_SUFFIXES, Rejected
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.files import find_name_problem, image_id_of, list_files
from stages.index.layout import Candidate, Layout

_OTHER_NAMES = {"val": "validation", "valid": "validation", "val-segmentation": "validation-segmentation"}
_MASKS = "-segmentation"
_SEMI = "train-semi"


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
        photographs, rejected = _find_photographs()
        train = {image_id_of(photo.path) for photo in photographs if photo.split == "train"}
        masks, rejected_masks = _find_masks(train)
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


def _find_photographs() -> tuple[list[Candidate], list[Rejected]]:
    photographs: list[Candidate] = []
    rejected: list[Rejected] = []
    folders: dict[str, Split] = {**dict(zip(SPLITS, SPLITS, strict=True)), _SEMI: "train"}
    known: set[str] = set()
    for folder, split in folders.items():
        for path in list_files(data_root() / folder):
            if folder == _SEMI and image_id_of(path) in known:
                continue
            if problem := _wrong_place(path) or find_name_problem(path, IMAGE_SUFFIXES):
                rejected.append(Rejected(f"{folder}/{path}", problem))
            else:
                photographs.append(Candidate(f"{folder}/{path}", split, path.split("/")[0]))
                known |= {image_id_of(path)} if folder == "train" else set()
    return photographs, rejected


def _find_masks(train: set[str]) -> tuple[dict[str, str], list[Rejected]]:
    """Masks by path; those of `train-semi` belong to the photographs of these names in train, where they are there."""
    masks, rejected = {}, []
    for folder in (*SPLITS, _SEMI):
        for path in list_files(data_root() / f"{folder}{_MASKS}"):
            if problem := find_name_problem(path, (".png",)):
                rejected.append(Rejected(f"{folder}{_MASKS}/{path}", problem))
                continue
            in_train, own = f"train/{image_id_of(path)}", f"{folder}/{image_id_of(path)}"
            masks[f"{folder}{_MASKS}/{path}"] = in_train if folder == _SEMI and in_train in train else own
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
