"""Composes params.yaml from a method recipe, a data set recipe and values; the recipes lie beside."""
