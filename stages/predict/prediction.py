"""Segments the photographs of the index."""

from collections.abc import Iterator

import torch

from stages.core.artifacts.image_index import ImageIndex, read_images
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.artifacts.models import read_model
from stages.core.engine.devices import inference_device
from stages.core.images.inference import iterate_batches
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.core.progress import Progress
from stages.predict import Config
from stages.predict.crf import segment_by_crf


def predict(config: Config) -> None:
    """Write the label maps of the chosen splits as `artifacts/predict`."""
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"])).to(inference_device())
    index = read_images().in_splits(*config.splits)
    write_label_maps("predict", "segmenter", _segment(segmenter, index, config))


def _segment(segmenter: Segmenter, index: ImageIndex, config: Config) -> Iterator[LabelMap]:
    device: torch.device = next(segmenter.parameters()).device
    with Progress(len(index), "predict") as progress:
        for seen in iterate_batches(index, segmenter.prepare, segmenter.expects, device, batch_size=1):
            photo = index[seen.positions[0]]
            if config.crf:
                found = segment_by_crf(segmenter, seen.images, index.read(seen.positions[0]), config.crf)
            else:
                found = segmenter.segment(seen.images, (photo.height, photo.width), config.max_pixels)
            yield LabelMap(photo.image_id, photo.height, photo.width, found.label, found.score)
            progress.update(seen.positions[0] + 1)
