"""SEAM: maps of a photograph and of its small copy agree, and pixels that look alike share their maps.

Source: Wang et al., Self-supervised Equivariant Attention Mechanism for Weakly Supervised Semantic Segmentation, CVPR
2020; values of its code, and of LUSS, which takes it as a third step (table 4).
"""
