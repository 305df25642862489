"""What is measured beside the predictions: clusters, objects, coherence, neighbors."""
