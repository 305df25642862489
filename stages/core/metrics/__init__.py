"""Numbers from label maps: counts, matches of clusters with classes, scores, thresholds."""
