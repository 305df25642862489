"""PCL: as MoCo, and every photograph is told by the centroids of several clusterings that it belongs to.

Source: Li et al., Prototypical Contrastive Learning of Unsupervised Representations, ICLR 2021.
"""
