"""MoCo v2: a view finds its photograph's key among the keys of earlier batches, which a slow copy has made.

Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020; Chen et al., Improved
Baselines with Momentum Contrastive Learning, 2020.
"""
