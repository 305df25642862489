"""What all stages share: artifacts, configs, images, networks, training, metrics. Imports no stage."""
