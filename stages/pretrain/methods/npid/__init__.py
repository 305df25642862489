"""NPID: every photograph is a class of its own, told by a memory of what the network last made of it.

Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018.
"""
