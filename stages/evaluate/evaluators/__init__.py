"""Evaluators, which `evaluate` runs one by one: predictions, clusters, objects, coherence, neighbors."""
