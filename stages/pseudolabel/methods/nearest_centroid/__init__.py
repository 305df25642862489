"""One label per pixel: its nearest centroid where the attention says foreground, background elsewhere.

Source: the code of LUSS's authors (PASS, steps 2.3 and 2.4).
"""
