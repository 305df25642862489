"""One label per photograph: its cluster, as a 1x1 map.

Source: LUSS, section 3.1 (label generation).
"""
