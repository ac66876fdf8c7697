"""The pure core: bytes and values in, values out. Knows no socket, no file, no clock, no task."""
