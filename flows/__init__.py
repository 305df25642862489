"""Orchestration: recipes, DVC, Prefect and the `luss` command. Nothing is computed here."""
