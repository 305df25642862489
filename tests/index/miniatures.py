"""The official trees of data sets, each with two photographs in train and two in val, as their archives unpack."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tests.index.photographs import encode, photograph, put

IDS = {
    "voc": np.array([[0, 7, 20], [255, 12, 0]]),
    "coco": np.array([[0, 7, 20], [255, 12, 100]]),
    "cityscapes": np.array([[0, 7, 20], [255, 12, 33]]),
    "lip": np.array([[0, 7, 19], [255, 12, 14]]),
}
"""What the masks of a data set hold here, 3 x 2 pixels."""

VOC = "VOCdevkit/VOC2012"


def gray(ids: np.ndarray) -> bytes:
    return encode(Image.fromarray(ids.astype(np.uint8)), "PNG")


def palette(ids: np.ndarray) -> bytes:
    """A mask as Pascal VOC has them: colors to look at, whose indices are the ids."""
    image = Image.fromarray(ids.astype(np.uint8), "P")
    image.putpalette([(31 * number + 5 * channel) % 256 for number in range(256) for channel in range(3)])
    return encode(image, "PNG")


def _put_pair(image: str, mask: str, data: bytes) -> None:
    put(image, photograph(3, 2, "PNG" if image.endswith(".png") else "JPEG"))
    put(mask, data)


def put_voc(root: str = VOC) -> list[str]:
    """Photographs of train, of val, and one that no list names; names of the first two of each."""
    names = ["2007_000032", "2007_000039", "2007_000033", "2007_000042", "2012_000004"]
    for name in names:
        _put_pair(f"{root}/JPEGImages/{name}.jpg", f"{root}/SegmentationClass/{name}.png", palette(IDS["voc"]))
    for split, listed in (("train", names[:2]), ("val", names[2:4])):
        put(f"{root}/ImageSets/Segmentation/{split}.txt", "\n".join([*listed, ""]).encode())
    return names[:4]


def put_coco(folders: tuple[str, str] = ("train2017", "val2017")) -> None:
    for folder, number in zip(np.repeat(folders, 2), (9, 25, 139, 285), strict=True):
        name = f"{number:012d}"
        _put_pair(f"{folder}/{name}.jpg", f"stuffthingmaps_trainval2017/{folder}/{name}.png", gray(IDS["coco"]))


def put_coco2014() -> None:
    """The masks of train lie among those of either folder of 2017."""
    places = (("train", 9, "train"), ("train", 25, "val"), ("val", 42, "train"), ("val", 73, "val"))
    for split, number, masks in places:
        image = f"{split}2014/COCO_{split}2014_{number:012d}.jpg"
        _put_pair(image, f"stuffthingmaps_trainval2017/{masks}2017/{number:012d}.png", gray(IDS["coco"]))


def put_cityscapes() -> None:
    for split, town, number in (
        ("train", "aachen", 0),
        ("train", "ulm", 1),
        ("val", "lindau", 0),
        ("val", "munster", 2),
    ):
        name = f"{town}/{town}_{number:06d}_000019"
        _put_pair(
            f"leftImg8bit/{split}/{name}_leftImg8bit.png",
            f"gtFine/{split}/{name}_gtFine_labelIds.png",
            gray(IDS["cityscapes"]),
        )
        put(f"gtFine/{split}/{name}_gtFine_color.png", b"colors")
        put(f"gtFine/{split}/{name}_gtFine_instanceIds.png", b"instances")
        put(f"gtFine/{split}/{name}_gtFine_polygons.json", b"{}")


def put_lip() -> None:
    for split, name in (("train", "1"), ("train", "2"), ("val", "3"), ("val", "4")):
        image = f"TrainVal_images/{split}_images/{name}0034_4836.jpg"
        _put_pair(image, f"TrainVal_parsing_annotations/{split}_segmentations/{name}0034_4836.png", gray(IDS["lip"]))
    put("TrainVal_images/train_id.txt", b"10034_4836\n")
