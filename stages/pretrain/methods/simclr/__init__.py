"""SimCLR: two views of a photograph find each other among all views of the batch.

Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020.
"""
