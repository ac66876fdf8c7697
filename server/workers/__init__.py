"""Several processes on one port: one of them for each document."""
