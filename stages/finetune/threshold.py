"""Chooses the score below which a pixel is background: fixed, or by Otsu on training photographs."""

from stages.core.artifacts.image_index import ImageIndex
from stages.core.config.segmenter import ThresholdConfig
from stages.core.metrics.otsu import otsu_of_scores
from stages.core.nets.segmenter import Segmenter
from stages.core.progress import track

_MAX_PIXELS = 65_536


def find_threshold(config: ThresholdConfig, segmenter: Segmenter, index: ImageIndex) -> float:
    """The threshold in hundredths, as a fraction.

    Source: Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979.
    """
    if config.rule == "fixed":
        return config.value
    drawn = index.draw(config.photographs)
    return otsu_of_scores(
        segmenter.segment_photograph(drawn.read(position), _MAX_PIXELS).score
        for position in track(range(len(drawn)), label="threshold")
    )
