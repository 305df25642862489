"""Naming clusters on a page of this machine, and the file names.yaml that it writes."""
