"""MaskContrast: pixels of an object are drawn to its mean in another view, away from other photographs' objects.

Source: Van Gansbeke et al., Unsupervised Semantic Segmentation by Contrasting Object Mask Proposals, ICCV 2021; what
the paper leaves open, and the defaults, from its code at revision dfd5fa0.
"""
