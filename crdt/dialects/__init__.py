"""How messages look on the wire, one module for each kind of client."""
