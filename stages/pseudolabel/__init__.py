"""Pseudolabel: turn clusters into labels of photographs or pixels that a segmenter can be trained on.

Reads `artifacts/index/images`, `artifacts/superpixels`, `artifacts/saliency`, the model `artifacts/attend` and
`artifacts/cluster`. Writes the label maps `artifacts/pseudolabel`, ids from 1, 0 background.
"""

from stages.pseudolabel.methods.image import ImageLabels

Config = ImageLabels
