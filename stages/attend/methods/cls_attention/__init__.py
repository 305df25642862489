"""The class token's attention in one block of a vision transformer; nothing is trained.

Source: DINO (Caron et al., ICCV 2021), section 4.2.2, of the last block.
"""
