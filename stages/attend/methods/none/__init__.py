"""No attention: the pretrained model is passed on unchanged."""
