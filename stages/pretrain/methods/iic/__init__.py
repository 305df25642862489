"""IIC: what two views say of a pixel's cluster tells as much as possible of each other.

Source: Ji et al., Invariant Information Clustering for Unsupervised Image Classification and Segmentation, ICCV 2019.
"""
