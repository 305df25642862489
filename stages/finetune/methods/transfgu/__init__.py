"""TransFGU's training: a decoder on a frozen network learns class maps, refined by a teacher that it replaces in turns.

Source: Yin et al., TransFGU: A Top-down Approach to Fine-Grained Unsupervised Semantic Segmentation, ECCV 2022,
arXiv:2112.01515, section 3.3; what the paper leaves open from the authors' code.
"""
