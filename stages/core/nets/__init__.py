"""Networks: timm backbones, heads, weights from anywhere."""
