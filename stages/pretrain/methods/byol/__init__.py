"""BYOL: a network predicts what its slow copy makes of another view of the same photograph; no negatives.

Source: Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, NeurIPS 2020.
"""
