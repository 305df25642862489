"""METHOD + DATASET + key=value -> params.yaml; the recipes themselves lie beside."""
