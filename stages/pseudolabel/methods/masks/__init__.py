"""True masks as labels, of all training photographs or of a share: for linear probes and semi-supervised training.

Source: MaskContrast, section 4.1 (protocols I and III).
"""
