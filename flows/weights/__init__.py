"""Weights that others have trained without labels: which there are, fetching them, and what a file of them is."""
