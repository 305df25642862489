"""Finetune: train the segmenter on the pseudo-labels, starting from the representation.

Reads `artifacts/index/images`, the models `artifacts/pretrain` and `artifacts/attend`, `artifacts/cluster` and the
label maps `artifacts/pseudolabel`. Writes the model `artifacts/finetune`: a segmenter, which needs nothing else to run.
"""

from stages.finetune.methods.image import ImageFineTuning

Config = ImageFineTuning
