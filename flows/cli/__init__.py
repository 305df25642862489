"""The commands of `luss`: what each does before and after the work."""
