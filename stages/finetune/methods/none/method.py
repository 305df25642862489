"""No fine-tuning: the centroids of the clusters are the segmenter's last layer."""

import torch

from stages.core.artifacts.clusters import Centroids, read_centroids
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.models import Model, read_model
from stages.core.errors import UserError
from stages.core.faiss_ops import normalize_rows
from stages.core.nets.features import restore_features
from stages.core.nets.heads import PixelClassifier, classify_by_centroids
from stages.core.nets.objects import ObjectNetwork, restore_objects
from stages.finetune.methods.none.config import NoFineTuningConfig
from stages.finetune.training import assemble_segmenter, set_threshold, write_segmenter


def write_centroid_segmenter(config: NoFineTuningConfig) -> None:
    """Write the network of `artifacts/attend` with the centroids as its classifier as `artifacts/finetune`.

    Raises:
        UserError: The centroids do not fit the network, or it lacks the saliency head or the attention.
    """
    model = read_model("attend", ["backbone"])
    network, head = join_centroids(config, model, read_centroids())
    saliency = network.saliency if config.background == "saliency_head" else None
    features = restore_features(*model, is_attended=True) if config.background == "attention" else network.features
    segmenter = assemble_segmenter(config, features, head, model.card.input, saliency)
    set_threshold(config, segmenter, read_images().in_splits("train"))
    write_segmenter(config, model.card, segmenter, [])


def join_centroids(
    config: NoFineTuningConfig, model: Model, centroids: Centroids
) -> tuple[ObjectNetwork, PixelClassifier]:
    """The network that the centroids were found with, and the classifier of its features by nearest centroid.

    Raises:
        UserError: The centroids do not fit the network, or it lacks the saliency head or the attention.
    """
    if config.background == "saliency_head" and model.card.parts.saliency is None:
        raise UserError(f"finetune.background: the model of {model.card.method} has no saliency head; take threshold")
    if config.background == "attention" and model.card.parts.attention is None:
        raise UserError(f"finetune.background: the model of {model.card.method} has no attention; take threshold")
    network, size = restore_objects(*model), centroids.embeddings.shape[1]
    centroids.check_space(network.space, "set extract.whiten: 0 or extract.embedding: backbone, or fine-tune")
    if size != network.size:
        raise UserError(
            f"finetune: the centroids have {size} channels, the pixels of the model of {model.card.method} "
            f"{network.size}; run `dvc repro`, which makes them of this model"
        )
    unit = centroids.normalize_at_use or network.embedding is not None  # whose objects are means of directions
    vectors = torch.tensor(normalize_rows(centroids.embeddings) if unit else centroids.embeddings)
    if network.embedding is None:
        return network, classify_by_centroids(vectors, normalize=unit)
    return network, _join(network.embedding, classify_by_centroids(vectors, normalize=False))


def _join(embedding: PixelClassifier, classifier: PixelClassifier) -> PixelClassifier:
    """One classifier of features instead of two layers.

    Unit centroids all have the same bias, so the largest logit does not depend on the length of an embedding.
    """
    joined = PixelClassifier(embedding.conv.in_channels, classifier.conv.out_channels)
    first, second = embedding.conv, classifier.conv
    assert first.bias is not None
    assert second.bias is not None
    assert joined.conv.bias is not None
    with torch.no_grad():
        joined.conv.weight.copy_(torch.einsum("kd,dchw->kchw", second.weight[:, :, 0, 0], first.weight))
        joined.conv.bias.copy_(second.weight[:, :, 0, 0] @ first.bias + second.bias)
    return joined
