"""Published self-supervised weights: a catalog, and download from the Hugging Face hub."""
