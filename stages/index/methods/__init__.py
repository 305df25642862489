"""How photographs may lie in `data/`, one layout per file."""
