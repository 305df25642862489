"""Check of the names that a person has given to categories."""

from __future__ import annotations

from flows.doctor.finding import Finding
from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.clusters import read_centroids
from stages.core.artifacts.names import read_naming
from stages.core.artifacts.names_content import NAMES_FILE
from stages.core.errors import UserError

_NO_BOUND = 2**16 - 1
"""Ids are of 16 bits."""


def check_category_names() -> Finding:
    """names.yaml can be read, and speaks of the clusters that there are."""
    try:
        naming = read_naming(len(read_centroids().embeddings) if centroid_hash() else _NO_BOUND)
    except UserError as error:
        return Finding("categories", f"{NAMES_FILE} cannot be used", str(error))
    count = len(naming.names)
    return Finding("categories", f"{count} named in {NAMES_FILE}", naming.warning, is_fatal=False)
