"""Training views, inference batches, superpixel algorithms and overlays."""
