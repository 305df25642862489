"""DINO: a student predicts how its slow teacher sorts other views of the same photograph; no labels, no negatives.

Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021.
"""
