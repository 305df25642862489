"""Fine-tuning on one label per photograph: 1x1 convolution, global average pooling, cross-entropy.

At inference the pooling is dropped, which leaves class activation maps.

Source: LUSS, section 3.1 (fine-tuning and inference); optimizer and length from PASS, step 3.
"""
