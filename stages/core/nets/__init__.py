"""Networks: timm backbones, decoders, heads, segmenter, and reading of foreign weights."""
