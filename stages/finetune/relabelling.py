"""Labels that a segmenter gives to the photographs which the next round learns, wherever workers are."""

from functools import partial
from pathlib import Path

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap
from stages.core.artifacts.models import read_model
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.label_mapping import SHARD, Job, LabelPlan, gather_labels, label_shards, teaches_anything
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.core.network_mapping import Look, Shard, cut_shards, loaded_once, turn

_SHARDS = "predicted"


def write_predictions(job: Job, index: ImageIndex, folder: Path, out: Path) -> None:
    """Write a segmenter's labels of photographs, at the size that it works at, as label maps; resumable.

    Args:
        job: What it is for.
        index: The photographs.
        folder: Where the segmenter lies, as the artifact `finetune`, and finished shards of labels.
        out: Folder of the label maps.

    Raises:
        UserError: All of them are background.
    """
    plan = LabelPlan({}, cut_shards(index, SHARD), partial(_label, folder.resolve()))
    label_shards(job, plan, folder / _SHARDS)
    if not teaches_anything(folder / _SHARDS):
        raise UserError(
            "finetune.rounds: the segmenter finds background alone in all photographs, which teaches the next round "
            "nothing; train the first one longer (finetune.training), or set rounds: 1"
        )
    gather_labels(job, folder / _SHARDS, out)


@loaded_once
def _restore(folder: Path) -> Segmenter:
    """The segmenter of a round, in whose folder's name its content is told."""
    return restore_segmenter(*read_model("finetune", ["backbone", "head"], folder)).to(inference_device())


def _label(folder: Path, shard: Shard, positions: list[int]) -> list[LabelMap]:
    segmenter = _restore(folder)
    seen = Look(segmenter.prepare, segmenter.expects).read(shard.photographs, positions)
    height, width = seen.images.shape[-2:]
    with turn():
        found = segmenter.segment_batch(seen.images, [(height, width)] * len(positions), height * width)
    photos = [shard.photographs[position] for position in positions]
    return [
        LabelMap(photo.image_id, photo.height, photo.width, each.above(segmenter.card.threshold))
        for photo, each in zip(photos, found, strict=True)
    ]
