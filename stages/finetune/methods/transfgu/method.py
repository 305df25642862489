"""TransFGU's training: a decoder on a frozen network learns class maps, which a teacher refines."""

import copy
from typing import Self

import torch
from torch import Tensor, nn

from stages.core.artifacts.class_maps import open_class_maps
from stages.core.engine.distributed import sum_over_processes
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.images.class_map_crops import ClassMapCrops
from stages.core.images.dataset import Batch, TravellingMaps
from stages.core.nets.backbones import embedding_size, stage_maps
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.segmentation_heads import SegmentationHead
from stages.finetune.methods.transfgu.config import TransFGUConfig
from stages.finetune.methods.transfgu.losses import add_background, diversity_loss, peer_loss, refine, uncertainty_loss
from stages.finetune.methods.transfgu.student import Student
from stages.finetune.training import SegmenterTraining

_NO_TEACHER = -1


class TransFGU(SegmenterTraining):
    """A frozen backbone, the student, its teacher, and the student's first weights."""

    taught_epoch: Tensor
    skips: Tensor

    def __init__(self, config: TransFGUConfig, features: FeatureNetwork, clusters: int) -> None:
        super().__init__()
        self.config, self.views = config, config.views
        backbone = features.backbone.requires_grad_(False)
        self.student = Student(config, backbone, embedding_size(backbone), clusters)
        self.features = FeatureNetwork(backbone, self.student.decoder)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.first = copy.deepcopy(self.student).requires_grad_(False)
        self.side = self._measure_side()
        self.register_buffer("taught_epoch", torch.tensor(_NO_TEACHER))
        self.register_buffer("skips", torch.tensor(False), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Only the student trains: in backbone and teacher, dropout and batch norm stay as at inference."""
        super().train(mode)
        for part in (self.features.backbone, self.teacher):
            part.eval()
        return self

    @property
    def classifier(self) -> SegmentationHead:
        """The student's head."""
        return self.student.head

    def open_maps(self) -> dict[str, TravellingMaps]:
        """The class maps, at the size of the logits."""
        return {"class_maps": ClassMapCrops(open_class_maps("pseudolabel"), self.side)}

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """The losses against the class maps, of which the teacher's opinion is half; equation 16."""
        self._bootstrap(progress)
        seen = self._look(batch.views[0])
        maps = batch.maps["class_maps"][0]  # (B, K, h, w)
        labels = self._find_labels(maps, seen)
        masks = self.student(seen)
        logits = masks.logits.float()
        peer = peer_loss(logits, labels, self._peer_weight(progress))
        uncertainty = self._measure_uncertainty(logits, maps)
        diversity = diversity_loss(masks.classes.float())
        config = self.config
        total = peer + config.uncertainty_weight * uncertainty + config.diversity_weight * diversity
        self.skips = sum_over_processes(total.detach()) <= 0
        accuracy = (logits.argmax(1) == labels.argmax(1)).float().mean()
        parts = {"peer": peer, "uncertainty": uncertainty, "diversity": diversity, "accuracy": accuracy}
        return Losses(total, parts | {"skipped": self.skips.float()})

    def after_gradients(self, progress: TrainingProgress) -> None:
        """Clamp every gradient to -1..1; without any, the optimizer leaves all as it is. TransFGU's code."""
        super().after_gradients(progress)
        is_skipped = bool(self.skips)
        for parameter in self.student.parameters():
            if is_skipped:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.clamp_(-1, 1)

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder where there is one, and head."""
        return {**self.features.parts, "head": self.classifier}

    @torch.no_grad()
    def _look(self, images: Tensor) -> list[Tensor]:
        """What the student sees of images (B, 3, H, W): maps of the backbone."""
        backbone = self.features.backbone
        return stage_maps(backbone, images) if self.config.decoder else [backbone(images)]

    @torch.no_grad()
    def _measure_side(self) -> int:
        """Places along each side of the logits of a view."""
        size = self.config.views.size
        empty = torch.zeros(1, 3, size, size, device=next(self.parameters()).device)
        self.features.eval()
        return int(self.teacher.eval()(self._look(empty)).logits.shape[-1])

    def _bootstrap(self, progress: TrainingProgress) -> None:
        """Let the student become the teacher and start anew, once in an epoch in which that is due.

        The optimizer goes on as it was. Source: TransFGU's code.
        """
        if (schedule := self.config.bootstrapping) is None:
            return
        epoch, epochs = schedule.epoch(progress.epoch), schedule.epoch(progress.epochs)
        if schedule.is_due(epoch, epochs) and epoch != int(self.taught_epoch):
            self.teacher.load_state_dict(self.student.state_dict())
            self.student.load_state_dict(self.first.state_dict())
            self.taught_epoch.fill_(epoch)

    def _peer_weight(self, progress: TrainingProgress) -> float:
        """Of the peer loss; 0 before there is a teacher."""
        schedule, weights = self.config.bootstrapping, self.config.peer_weights
        if schedule is None or not self._has_teacher or not weights:
            return 0.0
        since = schedule.epoch(progress.epoch) - int(self.taught_epoch)
        return weights[min(since, len(weights) - 1)]

    @property
    def _has_teacher(self) -> bool:
        return int(self.taught_epoch) != _NO_TEACHER

    @torch.no_grad()
    def _find_labels(self, maps: Tensor, seen: list[Tensor]) -> Tensor:
        """Soft labels (B, C, h, w)."""
        labels = add_background(maps, self.config.background_level) if self.config.background else maps
        return refine(labels, self.teacher(seen).logits.float()) if self._has_teacher else labels

    def _measure_uncertainty(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Of the categories, and with a background only where one of the maps lies above its level."""
        if not self.config.background:
            return uncertainty_loss(logits)
        return uncertainty_loss(logits[:, 1:], maps.amax(1) > self.config.background_level)
