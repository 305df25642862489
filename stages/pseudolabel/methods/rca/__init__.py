"""RCA: classifiers of photographs learn from the regions of all of them.

Source: Zhou et al., Regional Semantic Contrast and Aggregation for Weakly Supervised Semantic Segmentation, CVPR 2022.
"""
