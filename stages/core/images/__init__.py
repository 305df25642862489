"""Photographs and the maps that move with them: decoding, crops, batched views, overlays."""
