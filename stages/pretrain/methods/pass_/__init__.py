"""PASS: the later code of LUSS's authors: SwAV with aligned pixels and deep-to-shallow supervision.

Named `pass_` since `pass` is a word of Python; the recipe is `pass`.

Source: github.com/LUSSeg/PASS, step 1; Gao et al., Large-scale Unsupervised Semantic Segmentation, TPAMI 2022.
"""
