"""PiCIE: pixels learn the clusters of their own view and of another one, whatever its colors and its crop.

Source: Cho et al., PiCIE: Unsupervised Semantic Segmentation Using Invariance and Equivariance in Clustering, CVPR
2021.
"""
