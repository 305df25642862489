"""Global contrast: a color, or a region, stands out by how it differs from all others."""
