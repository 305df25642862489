"""The ids and merges of ids that the recipes of data sets declare."""

from __future__ import annotations

import pytest
import yaml

from flows.recipes.reading import RECIPES, recipe_names
from stages.core.config.params import validate_section
from stages.index import Config
from stages.index.methods.pairs import PairsConfig


def declared(dataset: str) -> PairsConfig:
    return PairsConfig.model_validate(yaml.safe_load((RECIPES / f"datasets/{dataset}.yaml").read_text())["index"])


def class_of(dataset: str, stored: int) -> str:
    return next(name for name, ids in (declared(dataset).classes or {}).items() if stored in ids)


def test_cityscapes_are_the_27_ids_from_7_on() -> None:
    """By hand from the data set's list of labels."""
    config = declared("cityscapes27")
    assert list((config.classes or {}).values()) == [(number,) for number in range(7, 34)]
    named = {7: "road", 11: "building", 17: "pole", 20: "traffic_sign", 23: "sky", 24: "person", 33: "bicycle"}
    assert {stored: class_of("cityscapes27", stored) for stored in named} == named
    assert set(config.void) == {0, 1, 2, 3, 4, 5, 6, 255}


def test_coco_stuff_merges_every_label_into_its_own_group() -> None:
    """By hand from the data set's list of labels, one from the beginning, the end or an odd place of each group."""
    classes = declared("coco_stuff27").classes or {}
    assert sorted(stored for ids in classes.values() for stored in ids) == list(range(182))
    assert len(classes) == 27
    labels = {
        "person": (0, "person"),
        "truck": (7, "vehicle"),
        "bench": (14, "outdoor"),
        "giraffe": (24, "animal"),
        "suitcase": (32, "accessory"),
        "tennis racket": (42, "sports"),
        "bowl": (50, "kitchen"),
        "banana": (51, "food"),
        "toilet": (69, "furniture"),
        "cell phone": (76, "electronic"),
        "refrigerator": (81, "appliance"),
        "book": (83, "indoor"),
        "banner": (91, "textile"),
        "branch": (93, "plant"),
        "bridge": (94, "building"),
        "cabinet": (97, "furniture-stuff"),
        "cage": (98, "structural"),
        "cardboard": (99, "raw-material"),
        "carpet": (100, "floor"),
        "ceiling-tile": (102, "ceiling"),
        "clouds": (105, "sky"),
        "fog": (119, "water"),
        "fruit": (121, "food-stuff"),
        "hill": (126, "solid"),
        "snow": (158, "ground"),
        "wall-brick": (170, "wall"),
        "window-blind": (179, "window"),
        "wood": (181, "solid"),
    }
    assert {label: class_of("coco_stuff27", stored) for label, (stored, _) in labels.items()} == {
        label: group for label, (_, group) in labels.items()
    }


def test_classes_of_stuff_and_things_merge_into_the_27_as_their_names_say() -> None:
    """The names of all classes against the merge: what is called "other" stands in the group it is named by."""
    all171 = declared("coco_stuff171").classes
    assert len(all171) == 171
    groups = {
        "ceiling": "ceiling",
        "floor": "floor",
        "food": "food-stuff",
        "furniture": "furniture-stuff",
        "wall": "wall",
    }
    groups |= {"window": "window", "building": "building", "plant": "plant", "sky": "sky", "solid": "solid"}
    groups |= {"structural": "structural", "water": "water", "textile": "textile", "ground": "ground"}
    for begin, group in groups.items():
        assert class_of("coco_stuff27", all171[f"{begin}-other"][0]) == group
    things = list(declared("coco_things80").classes.items())
    assert things == list(all171.items())[:80]
    assert declared("coco2014").classes == dict(things)
    assert declared("coco_things80").background == tuple(range(91, 182))


def test_the_classes_of_voc_are_found_in_coco_by_their_other_names() -> None:
    other = {"aeroplane": "airplane", "diningtable": "dining_table", "motorbike": "motorcycle", "sofa": "couch"}
    other |= {"pottedplant": "potted_plant", "tvmonitor": "tv"}
    coco, transfer = declared("coco_stuff171").classes, declared("coco_voc21")
    assert list(transfer.classes) == list(declared("voc").classes) == sorted(transfer.classes)
    assert transfer.classes == {name: coco[other.get(name, name)] for name in transfer.classes}
    of_coco = {each for ids in coco.values() for each in ids}
    assert set(transfer.background) == of_coco - {each for ids in transfer.classes.values() for each in ids}


def test_cityscapes_19_are_those_of_its_benchmark() -> None:
    """By hand from the data set's list of labels: those that have a train id, in its order."""
    config = declared("cityscapes19")
    ids = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    assert tuple(config.classes.values()) == tuple((each,) for each in ids)
    assert set(config.void) == {*range(34), 255} - set(ids)
    assert config.classes.items() <= declared("cityscapes27").classes.items()


def test_parts_of_persons_are_joined_as_transfgu_does() -> None:
    parts, joined, five = (declared(f"lip{count}").classes for count in (19, 16, 5))
    assert (len(parts), len(joined), len(five)) == (19, 16, 5)
    for merged in (joined, five):
        assert sorted(each for ids in merged.values() for each in ids) == list(range(1, 20))
    assert joined["arm"] == parts["left_arm"] + parts["right_arm"]
    heads = (parts[name][0] for name in ("hat", "hair", "sunglasses", "face"))
    assert set(five["head"]) == set(heads)
    assert class_of("lip5", parts["scarf"][0]) == "torso"
    assert class_of("lip5", parts["glove"][0]) == "arms"


@pytest.mark.parametrize("dataset", recipe_names("datasets"))
def test_there_are_as_many_clusters_as_classes(dataset: str) -> None:
    recipe = yaml.safe_load((RECIPES / f"datasets/{dataset}.yaml").read_text())
    if recipe["index"]["method"] == "pairs":
        index = validate_section("index", recipe["index"], Config, dataset)
        assert recipe["shared"]["classes"] == len(index.classes)
