"""Published numbers of the ImageNet-S benchmark, to stand beside a result on the same data set."""

from __future__ import annotations

import re
from typing import NamedTuple


class Published(NamedTuple):
    """One line of a published table, in percent; None where the source gives no number."""

    method: str
    val_miou: float | None
    test_miou: float | None
    nmi: float | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None
    val_f: float | None = None
    test_f: float | None = None


NOTE = (
    "Rows of the paper were scored on the first edition of the masks and do not compare exactly with the released "
    "ones; rows marked PASS come from its authors' repository, on the released masks and without a saliency prior."
)

_S50 = (
    Published("supervised", 33.9, 34.7, 87.1, 85.9, 86.8, 55.6, 55.3),
    Published("Rotation", 14.4, 14.3, 47.2, 38.9, 37.6, 50.3, 50.5),
    Published("NPID", 13.5, 13.0, 35.5, 37.9, 35.5, 51.3, 51.0),
    Published("SimCLR", 22.3, 22.4, 55.1, 57.8, 55.5, 52.0, 51.5),
    Published("MoCo v2", 19.6, 19.4, 50.9, 49.3, 49.8, 52.9, 52.5),
    Published("DeepCluster", 17.3, 17.9, 44.3, 41.7, 41.2, 51.0, 50.9),
    Published("ODC", 20.3, 18.3, 51.8, 49.3, 48.3, 54.4, 54.1),
    Published("PCL", 20.0, 19.7, 53.2, 47.9, 47.9, 54.6, 53.7),
    Published("SwAV", 21.7, 20.8, 63.3, 57.4, 57.7, 51.0, 50.1),
    Published("BYOL", 20.6, 20.3, 55.2, 51.6, 50.1, 51.4, 51.2),
    Published("PixelPro", 25.4, 24.3, 56.1, 54.1, 53.1, 53.8, 53.4),
    Published("MaskContrast", 23.9, 22.6, 51.8, 47.6, 48.0, 58.9, 57.4),
    Published("LUSS, stage 4", 35.7, 35.2, 75.3, 72.8, 73.1, 60.5, 59.4),
    Published("LUSS, decoder", 38.7, 39.4, 75.1, 72.4, 72.5, 60.2, 59.0),
    Published("PASS", 29.2, 29.3),
)

_S300 = (
    Published("supervised", 31.7, 31.7, 87.1, 86.8, 87.0, 56.8, 57.0),
    Published("Rotation", 4.9, 4.7, 39.6, 16.0, 15.1, 40.6, 40.5),
    Published("NPID", 6.1, 5.9, 37.6, 21.7, 19.4, 47.8, 47.9),
    Published("SimCLR", 11.6, 11.4, 49.7, 36.2, 34.2, 51.5, 51.5),
    Published("MoCo v2", 18.7, 18.0, 62.3, 49.1, 47.8, 53.6, 53.7),
    Published("DeepCluster", 13.2, 12.9, 51.9, 36.6, 34.8, 54.0, 54.1),
    Published("ODC", 7.5, 7.3, 43.9, 25.4, 24.0, 51.0, 50.9),
    Published("PCL", 16.3, 15.5, 62.8, 44.6, 42.4, 54.8, 54.8),
    Published("SwAV", 23.7, 23.4, 71.9, 59.8, 58.3, 55.5, 55.6),
    Published("BYOL", 14.4, 14.3, 55.2, 38.3, 36.8, 49.6, 49.5),
    Published("PixelPro", 14.0, 13.8, 51.6, 35.9, 35.2, 49.7, 49.6),
    Published("MaskContrast", 15.7, 15.4, 62.4, 42.4, 40.6, 56.6, 56.3),
    Published("LUSS, stage 4", 26.3, 25.6, 73.5, 60.7, 59.1, 60.3, 60.2),
    Published("LUSS, decoder", 26.8, 26.4, 74.0, 57.5, 55.4, 59.0, 59.0),
    Published("PASS", 18.0, 18.1),
)

_S919 = (
    Published("supervised", 29.2, 28.9, 81.4, 83.6, 84.1, None, None),
    Published("MoCo v2", 11.0, 10.1),
    Published("PCL", 14.4, 13.9),
    Published("SwAV", 15.3, 14.7, 67.2, 46.9, 45.2, None, None),
    Published("LUSS, stage 4", 18.3, 17.4),
    Published("LUSS, decoder", 19.7, 18.4, 68.8, 45.0, 42.2, None, None),
    Published("PASS", 11.5, 11.0),
)

_BY_CLASSES = {50: _S50, 300: _S300, 919: _S919}


def published_numbers(classes: dict[int, str]) -> tuple[Published, ...]:
    """The published rows for a data set; none unless its classes are WordNet ids, as many as an ImageNet-S split has.

    Source: LUSS (first version), tables of its benchmark; the PASS repository, fully unsupervised protocol.
    """
    is_imagenet = bool(classes) and all(re.match(r"n\d{8}", name) for name in classes.values())
    return _BY_CLASSES.get(len(classes), ()) if is_imagenet else ()
