"""A classifier of photographs by their true classes: the row "supervised" of LUSS's tables, never strict.

Source: Gao et al., Large-scale Unsupervised Semantic Segmentation, TPAMI 2022, tables 2 to 4.
"""
