"""`luss use … --estimate`: how long a run will take here, from a few real steps of each of its stages."""
