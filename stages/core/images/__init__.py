"""Photographs and the maps that move with them: crops, batched views, colors, overlays."""
