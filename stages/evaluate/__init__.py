"""Evaluate: score predictions by the true masks and write the report.

Reads the index with its labels, the predictions, the clusters, and the cards and histories of the models; writes
`metrics.json`, `per_class.csv`, `matching.json`, `report.html` and `overlays/`. Without masks it reports the clusters.
"""

from typing import Annotated, Literal

from pydantic import Field

from stages.core.config.params import Params
from stages.evaluate.rules import ProtocolName, ThresholdRule

Side = Annotated[int, Field(ge=1, le=10_000)]


class ObjectProtocolConfig(Params):
    """Parameters of MaskContrast's evaluation of objects; see `objects.py`. Source: MaskContrast, section 4.4."""

    seeds: int = Field(default=5, ge=1)
    """Runs of k-means whose scores are averaged. Section 4.1: five."""
    overclustering: tuple[int, ...] = (50, 100, 200, 500)
    """Further numbers of ids, background included; those above the number of objects are left out. Table 4: 50 to
    500."""
    whiten: int = Field(default=32, ge=0)
    """Principal components that the vectors of a split are whitened to before k-means, or as many as its objects and
    their channels allow; 0 for none. MaskContrast's code, whose published numbers rest on it: 32."""
    retrieval_classes: tuple[int, ...] = ()
    """Also score retrieval among these classes alone, true ids, without background; none: not. MaskContrast's seven of
    Pascal VOC: 1, 5, 6, 7, 8, 10, 15 (aeroplane, bottle, bus, car, cat, cow, person)."""
    neighbors: int = Field(default=7, ge=1)
    """Objects of the train split shown beside each; the nearest one's class is scored."""
    pictured: int = Field(default=12, ge=0)
    """Objects shown with their neighbors, drawn by a fixed seed."""


class CoherenceConfig(Params):
    """Parameters of the coherence of pixels; see `coherence.py`. Source: LUSS, table 5."""

    scale: tuple[float, float] = (0.14, 1.0)
    """Smallest and largest share of a photograph that each of its two views shows. As in pretraining (LUSS, PASS)."""


class DistanceMatchingConfig(Params):
    """Parameters of distance matching; see `neighbor_protocol.py`. Source: LUSS; settings of PASS's scripts."""

    feature_map: Literal["stage4", "decoder"] | None = "stage4"
    """Of the pretrained network. PASS: the backbone's last one; null for the one that it was trained by."""
    short_side: int = Field(default=256, ge=8)
    """Side in pixels that photographs are resized to. PASS: 256."""
    enlarge: int = Field(default=4, ge=1)
    """Times that the map is enlarged before. PASS: 4."""
    neighbors: int = Field(default=10, ge=1)
    """Labelled regions that vote for a pixel's class. PASS: 10."""
    temperature: float = Field(default=0.07, gt=0)
    """A vote weighs exp(cosine / temperature). PASS: 0.07."""


class Config(Params):
    """Protocol, threshold and further measurements, and the content of the report."""

    protocol: ProtocolName = "imagenet_s"
    """Which evaluation; their numbers do not compare. imagenet_s: ImageNet-S. pixel_hungarian: TransFGU, PiCIE.
    iou_hungarian: MaskContrast. greedy, optimal: ViCE's two matches, with background. scenes: both of them, where every
    pixel has a class. given: predicted ids are class ids. scenes_given: the same, where every pixel has a class."""
    working_size: tuple[Side, Side] | None = None
    """Height and width in pixels that masks and predictions are resized to, by nearest neighbor, before pixels are
    counted; null: the photographs' own. TransFGU: 320 x 320, Cityscapes 320 x 640. Scores of other sizes do not
    compare."""
    fitted_on: Literal["protocol", "train", "validation"] = "protocol"
    """Split whose masks the match is found on; it must be among predict.splits. protocol: the protocol's own."""
    threshold: ThresholdRule = "segmenter"
    """Score below which a pixel is background. segmenter: the segmenter's own. fixed: `fixed_threshold`. validation:
    best mIoU on the validation masks (uses labels). otsu: Otsu's cut of the scores, without labels."""
    fixed_threshold: float = Field(default=0.5, ge=0, le=1, multiple_of=0.01)
    """Used by threshold: fixed; in hundredths."""
    curve_max: int = Field(default=60, ge=1, le=100)
    """The threshold curve runs from 0.00 to this many hundredths. Source: ImageNet-S benchmark, 0..60."""
    ignore_id: int = Field(default=1000, ge=-1, le=65535)
    """True id whose pixels do not count; -1 for none. Source: ImageNet-S benchmark."""
    boundary: bool = True
    """Report scores of the boundary band beside those of the whole objects."""
    overlays: int = Field(default=24, ge=0)
    """Photographs shown with truth, prediction and errors."""
    gallery_clusters: int = Field(default=60, ge=0)
    """Clusters shown with photographs; the largest ones if there are more."""
    gallery_photos: int = Field(default=10, ge=1)
    """Photographs per cluster, nearest to its center first."""
    gallery_segments: int = Field(default=10, ge=0)
    """Segments per category, cut out of the predictions of photographs drawn at random."""
    confusion_classes: int = Field(default=20, ge=1)
    """Classes of the confusion table, largest first."""
    objects: ObjectProtocolConfig | None = None
    """Also score objects by their vectors; wants a split with masks among extract.splits. null: not."""
    coherence: CoherenceConfig | None = None
    """Also measure `cat_cos` and `view_cos` of the pretrained network's pixels on every split with masks. null: not."""
    neighbors: DistanceMatchingConfig | None = None
    """Also segment by the nearest labelled regions of the train split's masks and score that, beside. null: not."""
