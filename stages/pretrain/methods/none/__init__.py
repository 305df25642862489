"""No pretraining: a backbone from a file of weights, or with random weights as a floor."""
