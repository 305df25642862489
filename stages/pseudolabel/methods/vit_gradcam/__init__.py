"""Soft maps of all categories: what draws a vision transformer's attention towards each centroid.

Source: TransFGU (Yin et al., ECCV 2022), sections 3.2 (pseudo-labels) and 4.2.
"""
