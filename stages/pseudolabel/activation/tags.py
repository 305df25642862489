"""Tags of photographs: the categories that a photograph shows, without their places."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.clusters import Assignments, read_centroids
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.labels import Labels, read_labels
from stages.core.data import IGNORE_ID
from stages.core.errors import UserError
from stages.core.progress import track
from stages.core.words import how_many


class Tags(NamedTuple):
    """The categories of photographs."""

    photographs: ImageIndex
    """The N photographs that have a tag."""
    ids: npt.NDArray[np.int64]
    """(N, T) the categories of each photograph, from 0, in ascending order; -1 where it has fewer than T."""
    categories: int
    """L"""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(L,) photographs of each category."""
        return np.bincount(self.ids[self.ids >= 0], minlength=self.categories)

    @property
    def entries(self) -> npt.NDArray[np.int64]:
        """(N, T) a number for every photograph and category of its own, from 0; -1 where it has fewer than T."""
        there = self.ids >= 0
        return np.where(there, np.cumsum(there).reshape(there.shape) - 1, -1)

    @property
    def own(self) -> "list[OwnTags]":
        """Of each photograph."""
        rows = zip(self.ids, self.entries, strict=True)
        return [OwnTags(ids[ids >= 0], entries[ids >= 0]) for ids, entries in rows]


class OwnTags(NamedTuple):
    """The categories of one photograph."""

    ids: npt.NDArray[np.int64]
    """(T',) in ascending order."""
    entries: npt.NDArray[np.int64]
    """(T',) their `Tags.entries`."""


def cluster_tags(index: ImageIndex, assignments: Assignments) -> Tags:
    """The clusters of each photograph, or of its regions, as its tags; no label is used.

    Raises:
        UserError: No photograph of the index was clustered.
    """
    found: dict[str, set[int]] = defaultdict(set)
    for image_id, cluster in zip(assignments.image_ids, assignments.cluster_ids, strict=True):
        found[image_id].add(int(cluster))
    return _gather(index, found, len(read_centroids().embeddings))


def class_tags(index: ImageIndex) -> Tags:
    """The true classes of each photograph as its tags: the ids in its mask, or the class that it is filed under.

    Raises:
        UserError: No photograph has a class, or a mask or a folder names one that the data set does not have.
    """
    labels = read_labels()
    if not labels.classes:
        raise UserError("pseudolabel.supervision: labels, but the data set has no classes; set it to images")
    found = dict(_find_classes(index, labels))
    return _gather(index, found, max(labels.classes))


def _find_classes(index: ImageIndex, labels: Labels) -> Iterator[tuple[str, set[int]]]:
    by_name = {name: number for number, name in labels.classes.items()}
    for image_id in track(index.image_ids, label="tags"):
        if labels.mask_path(image_id):
            ids = {int(number) for number in np.unique(labels.read_mask(image_id))} - {0, IGNORE_ID}
            where = f"the mask {labels.mask_path(image_id)} holds"
        else:
            name = labels.class_name(image_id)
            ids = set() if name is None else {by_name.get(name, -1)}
            where = f"{image_id} is filed under {name!r},"
        if unknown := ids - set(labels.classes):
            told = f" {sorted(unknown)}" if labels.mask_path(image_id) else ""
            raise UserError(f"pseudolabel.supervision: labels, but {where}{told} which is no class of the data set")
        yield image_id, {number - 1 for number in ids}


def _gather(index: ImageIndex, found: Mapping[str, set[int]], categories: int) -> Tags:
    untagged = [image_id for image_id in index.image_ids if not found.get(image_id)]
    if len(untagged) == len(index):
        raise UserError("pseudolabel: no photograph of the train split has a tag; there is nothing to learn from")
    if untagged:
        told = f"no tag for {len(untagged)} of {how_many(len(index), 'photograph')}, left out, as {untagged[0]}"
        print(f"pseudolabel: {told}", flush=True)
    tagged = index.with_ids(set(index.image_ids) - set(untagged))
    ids = np.full((len(tagged), max(len(found[image_id]) for image_id in tagged.image_ids)), -1, np.int64)
    for row, image_id in enumerate(tagged.image_ids):
        own = sorted(found[image_id])
        ids[row, : len(own)] = own
    return Tags(tagged, ids, categories)
