"""LUSS: SwAV that learns shape: a decoder, pixel attention under a saliency prior, alignment of pixels.

Every part can be switched off, so that each row of the paper's ablation (table 5) is this method with other values.

Source: Gao et al., Large-scale Unsupervised Semantic Segmentation, TPAMI 2022, section 4.
"""
