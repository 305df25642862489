"""Training: the loop, and the parts that training methods share."""
