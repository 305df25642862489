"""PixPro: pixels of two views that show the same place agree, each smoothed by the pixels that are like it.

Source: Xie et al., Propagate Yourself: Exploring Pixel-Level Consistency for Unsupervised Visual Representation
Learning, CVPR 2021.
"""
