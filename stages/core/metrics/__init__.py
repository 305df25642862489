"""Metrics of label maps: pixel counts, matching of clusters with classes, IoU and other scores, thresholds."""
