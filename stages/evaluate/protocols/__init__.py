"""What is scored how: the protocols, and the order of an evaluation."""
