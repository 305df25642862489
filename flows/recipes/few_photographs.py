"""Says that there are fewer photographs than clusters of them, before hours of other stages are over."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from stages.core.data import IMAGE_SUFFIXES
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.files import suffix_of, walk_files
from stages.core.words import how_many

_ONE_EACH = ("image", "salient_object")
"""Methods of `extract` that give one vector of a photograph, and no more."""


def describe_few_photographs(sections: Mapping[str, Any]) -> str:
    """What to change where photographs cannot form so many clusters, in one line.

    Args:
        sections: Of params.yaml.

    Returns:
        Empty if there are enough, none at all yet, or several vectors of each.
    """
    k = sections["cluster"].get("k")
    if not isinstance(k, int) or sections["extract"].get("method") not in _ONE_EACH:
        return ""
    photographs = min(_count_photographs(k), sections["index"].get("limit") or k)
    if not 0 < photographs < k:
        return ""
    return (
        f"cluster.k = {k}: {how_many(photographs, 'photograph')} in {data_root()}/ cannot form so many clusters; add "
        f"photographs, or luss set cluster.k={photographs} at most"
    )


def _count_photographs(most: int) -> int:
    """Photographs in `data/` by their names, counted no further than to `most`: there may be millions."""
    try:
        root = data_root()
    except UserError:  # A link that leads nowhere is told by whatever needs the photographs.
        return 0
    files = walk_files(root) if root.is_dir() else iter(())
    return sum(1 for _ in islice((path for path, _ in files if suffix_of(path) in IMAGE_SUFFIXES), most))
