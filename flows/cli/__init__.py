"""The command line `luss`, one module per command or group of commands."""
