"""The cluster of every region painted over its pixels: superpixels, or the salient object of a photograph.

Source: MaskContrast, section 4.4 (objects); ViCE, section 3 (superpixels).
"""
