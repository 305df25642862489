"""SwAV: online clustering with swapped predictions of codes, multi-crop.

Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, NeurIPS 2020.
"""
