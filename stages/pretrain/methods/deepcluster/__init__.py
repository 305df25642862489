"""DeepCluster: before each epoch photographs are clustered by their features, and the clusters learnt as classes.

Source: Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, ECCV 2018.
"""
