"""Evaluation protocols by name, and the evaluation itself: threshold, match, scores."""
