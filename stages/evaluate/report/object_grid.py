"""Pictures of objects beside their nearest objects of the train split."""

from __future__ import annotations

from typing import NamedTuple

from stages.evaluate.evaluators.object_protocol import ObjectScores
from stages.evaluate.inputs import Inputs
from stages.evaluate.report.pictures import data_uri, thumbnail


class ObjectThumbnail(NamedTuple):
    """A photograph in the grid."""

    thumbnail: str
    image_id: str
    category: str
    """That it is filed under; empty if it is not."""


def draw_object_grid(inputs: Inputs, scores: ObjectScores) -> list[tuple[ObjectThumbnail, list[ObjectThumbnail]]]:
    """Thumbnails of a split's objects, each with its nearest ones."""
    place = {image_id: number for number, image_id in enumerate(inputs.images.image_ids)}

    def show(image_id: str) -> ObjectThumbnail:
        picture = data_uri(thumbnail(inputs.images.read(place[image_id])))
        return ObjectThumbnail(picture, image_id, inputs.labels.class_name(image_id) or "")

    return [(show(query), [show(near) for near in nearest]) for query, nearest in scores.retrieval.grid]
