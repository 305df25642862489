"""Attention per pixel and channel, learnt by SwAV's loss on top of a frozen representation.

Source: the code of LUSS's authors (PASS, step 2.1).
"""
