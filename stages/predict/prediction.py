"""Segments the photographs of the index."""

from functools import partial

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import LabelMap
from stages.core.artifacts.models import model_hash, read_model
from stages.core.engine.devices import inference_device
from stages.core.label_mapping import SHARD, Job, LabelPlan, map_labels
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.core.network_mapping import Look, Shard, cut_shards, loaded_once, turn
from stages.predict import Config
from stages.predict.crf import segment_by_crf


def predict(config: Config) -> None:
    """Write the label maps of the chosen splits as `artifacts/predict`."""
    model = model_hash("finetune")
    _restore(model)  # What is wrong with it is said before the work.
    index = read_images().in_splits(*config.splits)
    inputs = {"images": index.content_hash, "finetune": model}
    plan = LabelPlan(inputs, cut_shards(index, SHARD), partial(_segment, config, model))
    map_labels(Job("predict", "segmenter", config), plan)


@loaded_once
def _restore(model: str) -> Segmenter:
    """The segmenter of `artifacts/finetune`, whose content hash this is."""
    return restore_segmenter(*read_model("finetune", ["backbone", "head"])).to(inference_device())


def _segment(config: Config, model: str, shard: Shard, positions: list[int]) -> list[LabelMap]:
    segmenter, photographs = _restore(model), shard.photographs
    photos = [photographs[position] for position in positions]
    seen = Look(segmenter.prepare, segmenter.expects).read(photographs, positions)
    if config.crf:
        images = [photographs.read(position) for position in positions]
        found = [segment_by_crf(segmenter, seen.images[[n]], image, config.crf) for n, image in enumerate(images)]
    else:
        with turn():
            sizes = [(photo.height, photo.width) for photo in photos]
            found = segmenter.segment_batch(seen.images, sizes, config.max_pixels)
    return [
        LabelMap(photo.image_id, photo.height, photo.width, each.label, each.score)
        for photo, each in zip(photos, found, strict=True)
    ]
