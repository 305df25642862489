"""TokenCut: the normalized cut of the graph of an image's patches, from a vision transformer's keys."""
