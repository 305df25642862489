"""What every stage stands on. Knows no stage."""
