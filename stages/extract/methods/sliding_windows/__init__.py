"""The class token of every window that slides over a photograph, at several scales.

Source: TransFGU (Yin et al., ECCV 2022), sections 3.2 (semantic prior) and 4.2 (windows, foreground prior).
"""
