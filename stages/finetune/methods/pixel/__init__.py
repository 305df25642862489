"""Fine-tuning on one label per pixel: 1x1 convolution and cross-entropy over the clusters and the background.

Source: the code of LUSS's authors (PASS, step 3).
"""
