"""No fine-tuning: the centroids of the clusters are the segmenter's last layer.

Source: the k-means protocols of MaskContrast (section 4.4) and ViCE (section 4): a pixel takes its nearest centroid.
"""
