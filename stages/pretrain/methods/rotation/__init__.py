"""Rotation: a network tells by how many quarter turns a photograph was turned.

Source: Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018.
"""
