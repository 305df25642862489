"""SC-CAM: a classifier learns parts of categories too, found by clustering its photographs' features, in rounds.

Source: Chang et al., Weakly-Supervised Semantic Segmentation via Sub-category Exploration, CVPR 2020; values of its
code, and of LUSS, which takes it as a third step (table 4).
"""
