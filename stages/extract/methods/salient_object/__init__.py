"""One embedding per photograph: that of its salient object.

Source: MaskContrast, sections 3.3 (equation 2) and 4.4; weighting and whitening as options from its code.
"""
