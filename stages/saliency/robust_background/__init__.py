"""Robust background detection: a region that touches the border much for its size is background."""
