"""ODC: photographs and centroids move a little at every step, and the clusters are learnt as classes meanwhile.

Source: Zhan et al., Online Deep Clustering for Unsupervised Representation Learning, CVPR 2020.
"""
