"""Fine-tuning of the whole network on true masks, of all photographs or of a share.

Source: MaskContrast, section 4.1 (protocol III); values from its code.
"""
