"""A classifier of photographs by their true classes: the row "supervised" of LUSS's tables, never strict."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.labels import read_labels
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import mean_over_rows
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.pretrain.methods.classifier.config import ClassifierPretrainConfig

_CAUSES = "the classes, data/train/CLASS/, do not show in the photographs"


class Classifier(TrainingMethod):
    """Backbone, a linear classifier on its pooled features, and the true class of every photograph."""

    classifier: nn.Linear
    labels: Tensor

    def __init__(self, config: ClassifierPretrainConfig) -> None:
        super().__init__()
        self.views = config.views
        self.backbone = build_backbone(config.backbone, config.weights)

    def select_photos(self, index: ImageIndex) -> ImageIndex:
        """The photographs that are filed under a class."""
        labels = read_labels()
        classes = {image_id: labels.class_name(image_id) for image_id in index.image_ids}
        known = [image_id for image_id, name in classes.items() if name]
        if len({classes[image_id] for image_id in known}) < 2:
            raise UserError(
                "pretrain: classifier: the training photographs are of fewer than two classes; they are told by the "
                "folders of data/train/"
            )
        return index.with_ids(known)

    def lay_out(self, index: ImageIndex) -> None:
        """The class of every photograph, numbered by name."""
        labels = read_labels()
        names = [str(labels.class_name(image_id)) for image_id in index.image_ids]
        numbers = {name: number for number, name in enumerate(sorted(set(names)))}
        self.register_buffer("labels", torch.tensor([numbers[name] for name in names]))
        self.classifier = nn.Linear(embedding_size(self.backbone), len(numbers))
        self.expected = Expectation({"loss": math.log(max(len(numbers), 2))}, causes=_CAUSES)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of each photograph's class."""
        logits = self.classifier(self.backbone(batch.views[0]).mean((2, 3))).float()
        classes = self.labels[batch.positions]
        accuracy = mean_over_rows((logits.argmax(1) == classes).float())
        return Losses(F.cross_entropy(logits, classes), {"accuracy": accuracy})

    def export(self) -> dict[str, nn.Module]:
        """The backbone."""
        return {"backbone": self.backbone}
