"""Trains a segmenter on label maps, in one round or several: each but the first on what the one before has predicted.

Source: Zadaianchuk et al., COMUS: Unsupervised Semantic Segmentation with Self-supervised Object-centric
Representations, ICLR 2023, whose self-training is iterated so.
"""

from pathlib import Path

from stages.core.artifacts.categories import count_categories
from stages.core.artifacts.image_index import ImageIndex, read_images
from stages.core.artifacts.label_maps import LabelMaps, open_label_maps
from stages.core.artifacts.labels import read_labels
from stages.core.artifacts.models import Model, model_hash, read_model
from stages.core.artifacts.shards import MANIFEST, encode_json, read_json, write_atomically
from stages.core.engine.devices import seed_everything
from stages.core.engine.history import Row
from stages.core.engine.launch import is_launched
from stages.core.engine.loop import train
from stages.core.label_mapping import Job
from stages.core.nets.features import restore_features
from stages.core.nets.segmenter import Segmenter
from stages.core.resume import resumable_work
from stages.finetune.config import TrainedFinetuneConfig
from stages.finetune.relabelling import write_predictions
from stages.finetune.training import SegmenterTraining, assemble_segmenter, set_threshold, write_segmenter

_LABELS, _HISTORY = "labels", "history.json"


def finetune(config: TrainedFinetuneConfig) -> None:
    """Train on the label maps `artifacts/pseudolabel` and write the model `artifacts/finetune`.

    Raises:
        UserError: The labels or the representation are not what the method wants, or training goes wrong.
    """
    labels = open_label_maps("pseudolabel")
    index = read_images().with_ids(labels.image_ids)
    pretrained = read_model("pretrain", ["backbone"])
    inputs = {"images": index.content_hash, "pseudolabel": labels.content_hash, "pretrain": model_hash("pretrain")}
    with resumable_work("finetune", config, inputs | config.further_inputs) as work:
        segmenter, history = Rounds(config, pretrained, index, work).train()
        set_threshold(config, segmenter, index)
        write_segmenter(config, pretrained.card, segmenter, history)


class Rounds:
    """The rounds of a training, each from the pretrained network and in a folder of its own.

    A round's folder holds its checkpoints; from the second on also the labels that it learns and the history up to it.
    The labels are written last and at once, so that a killed run begins again in the newest round that has them.

    Args:
        config: Its parameters.
        pretrained: The model that every round starts from.
        index: The photographs that have labels.
        work: Directory of unfinished work; see `stages.core.resume`.
    """

    def __init__(self, config: TrainedFinetuneConfig, pretrained: Model, index: ImageIndex, work: Path) -> None:
        self._config, self._pretrained, self._index, self._work = config, pretrained, index, work
        self._categories = _count_categories(config)

    def train(self) -> tuple[Segmenter, list[Row]]:
        """Train all rounds that are not done; the last one's segmenter, and the history of all.

        Raises:
            UserError: Training goes wrong, or a round finds nothing to train the next one on.
        """
        last = self._config.training_rounds
        done = [number for number in range(2, last + 1) if (self._folder(number) / _LABELS / MANIFEST).exists()]
        first = max(done, default=1)
        for number in range(first, last):
            self._write_labels(number + 1, *self._train_round(number))
        return self._train_round(last)

    def _train_round(self, number: int) -> tuple[Segmenter, list[Row]]:
        config, folder, earlier = self._config, self._folder(number), list[Row]()
        if config.training_rounds > 1 and not is_launched():
            print(f"finetune: round {number} of {config.training_rounds}", flush=True)
        method = self._begin()
        if number > 1:
            method.labels = LabelMaps(folder / _LABELS)
            earlier = read_json(folder / _HISTORY)["rows"]
        rows = train(method, config.training, self._index, "finetune", folder)
        if config.training_rounds > 1:
            done = int(earlier[-1]["iteration"]) if earlier else 0
            rows = [{**row, "iteration": done + row["iteration"], "round": number} for row in rows]
        segmenter = assemble_segmenter(config, method.features, method.classifier, config.views.input_card)
        return segmenter, [*earlier, *rows]

    def _begin(self) -> SegmenterTraining:
        config = self._config
        seed_everything(config.training.seed)
        features = restore_features(*self._pretrained, config.feature_map, config.is_attended)
        return config.build(features, self._categories)

    def _write_labels(self, number: int, segmenter: Segmenter, history: list[Row]) -> None:
        config, folder = self._config, self._folder(number)
        set_threshold(config, segmenter, self._index)
        write_atomically(folder / _HISTORY, encode_json({"rows": history}))
        write_segmenter(config, self._pretrained.card, segmenter, history, folder)
        write_predictions(Job("finetune", config.method, config), self._index, folder, folder / _LABELS)

    def _folder(self, number: int) -> Path:
        """Named after the run: logs of training are called as the folder."""
        return self._work if number == 1 else self._work / f"{self._work.name}-round{number}"


def _count_categories(config: TrainedFinetuneConfig) -> int:
    """Classes where masks are trained on, otherwise clusters, or what a person has made of them."""
    return max(read_labels().classes) if config.supervision == "labels" else count_categories()
