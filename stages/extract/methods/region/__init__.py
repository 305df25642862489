"""One embedding per region of a photograph: its superpixels, or a sample of its pixels.

Source: ViCE, sections 3.3 (regions) and 4 (clusters of the pixels' embeddings).
"""
