"""SC-CAM's classifier, and the sub-categories that each of its rounds learns."""

import torch
from torch import Tensor, nn

from stages.core.engine.method import Losses, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import FeatureNetwork
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.activation.training import GroupTraining, class_layer, classification_loss
from stages.pseudolabel.methods.sc_cam.config import SCCAMConfig
from stages.pseudolabel.methods.sc_cam.sub_categories import Float32, Int64, find_sub_categories


class SubCategoryTraining(GroupTraining):
    """What SC-CAM trains in a round.

    Args:
        config: Its parameters.
        features: The pretrained network, D channels.
        tags: The photographs' categories.
    """

    def __init__(self, config: SCCAMConfig, features: FeatureNetwork, tags: Tags) -> None:
        super().__init__(features, tags, config.views)
        self.config = config
        self.parent = class_layer(features.size, tags.categories)
        self.child = class_layer(features.size, tags.categories * config.sub_categories)
        # The folder of the round holds it: no checkpoint needs to.
        self.sub_tags = nn.Buffer(torch.full_like(self.tags, -1), persistent=False)

    def regroup(self, vectors: Float32) -> Int64:
        """The sub-categories (N, T) of photographs with these mean features (N, D)."""
        ids = self.tags.cpu().numpy()
        return find_sub_categories(vectors, ids, self.config.sub_categories, self.config.training.seed)

    def take_groups(self, groups: Int64) -> None:
        """Learn these sub-categories (N, T)."""
        self.sub_tags = nn.Buffer(torch.from_numpy(groups), persistent=False)

    def activate(self, images: Tensor) -> Tensor:
        """The categories' maps; see `TagTraining.activate`."""
        maps: Tensor = self.parent(self.features(images))
        return maps

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Classification of the categories and, weighed, of their sub-categories. Source: SC-CAM, equation 5."""
        features = self.features(batch.views[0])
        losses = {
            "classification": classification_loss(self.parent(features), self.tags_of(batch)),
            "sub_categories": classification_loss(self.child(features), self.sub_tags[batch.positions]),
        }
        return Losses(losses["classification"] + self.config.sub_weight * losses["sub_categories"], losses)
