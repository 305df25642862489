"""Training: one visible loop, and the pieces that training methods share."""
