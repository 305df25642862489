"""Readers and writers of the artifacts that stages exchange: image index, label maps, model, features, clusters.

A stage can be replaced by anything, in any language, that writes the same files.
"""
