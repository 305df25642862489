"""Trains a classifier on tags, in one round or several: each on groups that the one before tells apart."""

import io
from pathlib import Path

import numpy as np

from stages.core.artifacts.models import Model
from stages.core.artifacts.shards import encode_json, read_json, write_atomically
from stages.core.engine.devices import seed_everything
from stages.core.engine.history import Row
from stages.core.engine.launch import is_launched
from stages.core.engine.loop import train
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.pseudolabel.activation.config import TagConfig
from stages.pseudolabel.activation.inference import MapSource, mean_features, save_trained
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.activation.training import GroupTraining, TagTraining

_BEFORE, _GROUPS, _HISTORY = "before.pt", "groups.npy", "history.json"


def restore_backbone(config: TagConfig, pretrained: Model) -> FeatureNetwork:
    """The pretrained backbone with its weights, at the output stride that the config asks for."""
    card, states = pretrained
    backbone = card.parts.backbone
    if config.output_stride:
        backbone = backbone.model_copy(update={"output_stride": config.output_stride})
    parts = card.parts.model_copy(update={"backbone": backbone})
    return restore_features(card.model_copy(update={"parts": parts}), states, "stage4")


class Rounds:
    """The rounds of a training, each from the pretrained network and in a folder of its own.

    A round's folder holds its checkpoints, and the groups that it learns, if any, and the history up to it. The groups
    are written last and at once, so that a killed run, and every process that trains with others, begins in the newest
    round that has them.

    Args:
        config: Its parameters.
        pretrained: The model that every round starts from.
        tags: The photographs' categories.
        work: Directory of unfinished work; see `stages.core.resume`.
    """

    def __init__(self, config: TagConfig, pretrained: Model, tags: Tags, work: Path) -> None:
        self._config, self._pretrained, self._tags, self._work = config, pretrained, tags, work

    def train(self) -> tuple[TagTraining, list[Row]]:
        """Train all rounds that are not done; what the last one has trained, and the history of all.

        Raises:
            UserError: Training goes wrong.
        """
        last = self._config.training_rounds
        begun = [number for number in range(1, last + 1) if (self._folder(number) / _GROUPS).exists()]
        first = max(begun, default=1)
        if not begun:
            self._write_groups(1, self._begin(), [])
        for number in range(first, last):
            self._write_groups(number + 1, *self._train_round(number))
        return self._train_round(last)

    def _begin(self) -> TagTraining:
        seed_everything(self._config.training.seed)
        return self._config.build(restore_backbone(self._config, self._pretrained), self._tags)

    def _train_round(self, number: int) -> tuple[TagTraining, list[Row]]:
        config, folder, earlier = self._config, self._folder(number), list[Row]()
        training = self._begin()
        if isinstance(training, GroupTraining) and (folder / _GROUPS).exists():
            training.take_groups(np.load(folder / _GROUPS))
            earlier = read_json(folder / _HISTORY)["rows"]
        if config.training_rounds > 1 and not is_launched():
            print(f"pseudolabel: round {number} of {config.training_rounds}", flush=True)
        training.open_files(folder)
        rows = train(training, config.training, self._tags.photographs, "pseudolabel", folder)
        if config.training_rounds > 1:
            done = int(earlier[-1]["iteration"]) if earlier else 0
            rows = [{**row, "iteration": done + row["iteration"], "round": number} for row in rows]
        return training, [*earlier, *rows]

    def _write_groups(self, number: int, training: TagTraining, history: list[Row]) -> None:
        """Write the groups of a round by what has been trained before it, if the method learns groups."""
        if not isinstance(training, GroupTraining):
            return
        folder, content = self._folder(number), io.BytesIO()
        source = MapSource(save_trained(training, folder / _BEFORE), self._config.maps)
        np.save(content, training.regroup(mean_features(source, self._tags, folder)))
        write_atomically(folder / _HISTORY, encode_json({"rows": history}))
        write_atomically(folder / _GROUPS, content.getvalue())

    def _folder(self, number: int) -> Path:
        """Named after the run: logs of training are called as the folder."""
        return self._work if number == 1 else self._work / f"{self._work.name}-round{number}"
