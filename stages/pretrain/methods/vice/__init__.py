"""ViCE: dense embeddings, learnt by predicting a region's prototype from other views of it.

Source: Karlsson et al., ViCE: Improving Dense Representation Learning by Superpixelization and Contrasting Cluster
Assignment, BMVC 2022; what the paper leaves open, from its code at revision 96d328b.
"""
