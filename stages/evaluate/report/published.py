"""Published numbers of `published.yaml`, to stand beside a result on the same data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from stages.core.errors import did_you_mean

NOTE = (
    "Rows of the paper were scored on the first edition of the masks and do not compare exactly with the released "
    "ones; rows marked PASS come from its authors' repository, on the released masks and without a saliency prior."
)
COLUMNS = (
    "validation.mIoU",
    "test.mIoU",
    "train.NMI",
    "validation.accuracy",
    "test.accuracy",
    "validation.F",
    "test.F",
)
"""Of the report's table, by their dotted names in metrics.json."""

_FILE = Path(__file__).with_suffix(".yaml")
_TABLES = {50: "imagenet_s50", 300: "imagenet_s300", 919: "imagenet_s919"}
"""By number of classes."""


class Published(NamedTuple):
    """One line of the report's table."""

    method: str
    values: tuple[float | None, ...]
    """In percent, in the order of `COLUMNS`; None where the source gives no number."""


@cache
def read_published() -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """All published numbers: by table, row and score."""
    tables: dict[str, dict[str, dict[str, float]]] = yaml.safe_load(_FILE.read_text())
    return tables


def find_published(place: str) -> Mapping[str, float]:
    """A row's scores.

    Args:
        place: `table/row`.

    Raises:
        ValueError: There is no such table or row.
    """
    table, _, row = place.partition("/")
    for name, known in ((table, read_published()), (row, read_published().get(table, {}))):
        if name not in known:
            raise ValueError(
                f"no published numbers of {place!r}: {name!r} is unknown{did_you_mean(name, known)}; "
                f"there are: {', '.join(known)}"
            )
    return read_published()[table][row]


def published_numbers(classes: dict[int, str]) -> tuple[Published, ...]:
    """The published rows for a data set; none unless its classes are WordNet ids, as many as an ImageNet-S has."""
    is_imagenet = bool(classes) and all(re.match(r"n\d{8}", name) for name in classes.values())
    if not is_imagenet or len(classes) not in _TABLES:
        return ()
    rows = read_published()[_TABLES[len(classes)]]
    return tuple(Published(method, tuple(map(scores.get, COLUMNS))) for method, scores in rows.items())
