"""Labels of pixels from tags of photographs: a classifier learns the tags, and its class activation maps say where.

Source: Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016 (class activation maps).
"""
