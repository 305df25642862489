"""From names.yaml to `pseudolabel.categories`, which the next run learns."""

from __future__ import annotations

import json

from flows.naming.names_file import read_current
from stages.core.artifacts.clusters import read_centroids
from stages.core.artifacts.names import check_names
from stages.core.config.categories import CategoriesConfig
from stages.core.config.params import read_params
from stages.core.errors import UserError

_LEARNS_CLUSTERS = ("none", "transfgu")
"""Methods of finetune whose categories are the centroids or class maps, and not the labels."""


def categories_of() -> str:
    """The value of `pseudolabel.categories` in YAML: `null` where every cluster is a category of its own.

    Raises:
        UserError: The names are of other clusters, have an error, or the project's methods cannot learn them.
    """
    content, warning = read_current()
    if warning:
        raise UserError(f"{warning} Name the clusters that there are now first: luss names")
    params, clusters = read_params(), len(read_centroids().embeddings)
    _check_methods(params.get("pseudolabel") or {}, params.get("finetune") or {})
    check_names(content, clusters)
    shown = [entry for entry in content.categories if not entry.background]
    found = CategoriesConfig(
        centroids=content.centroids or "0" * 12,
        splits=content.splits,
        merged=tuple(entry.ids for entry in shown if len(entry.ids) > 1),
        background=tuple(one for entry in content.categories if entry.background for one in entry.ids),
    )
    if not (found.splits or found.merged or found.background):
        return "null"
    try:
        found.resolve(clusters)
    except ValueError as error:
        raise UserError(f"names.yaml: {error}") from None
    return json.dumps(found.model_dump(mode="json"))


def _check_methods(pseudolabel: dict[str, object], finetune: dict[str, object]) -> None:
    if "categories" not in pseudolabel:
        raise UserError(
            f"pseudolabel.method: {pseudolabel.get('method')} cannot learn merged or cut clusters; image, region and "
            "nearest_centroid can. Names, merged and hidden categories are shown all the same"
        )
    if finetune.get("method") in _LEARNS_CLUSTERS:
        raise UserError(
            f"finetune.method: {finetune['method']} segments by the clusters themselves, and learns nothing of their "
            "labels; pixel and image do. Names, merged and hidden categories are shown all the same"
        )
