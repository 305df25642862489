"""Linear probe: a 1x1 convolution on the frozen network, trained on true masks.

Source: MaskContrast, section 4.1 (protocol I); values from its code.
"""
