"""A load generator that speaks the raw protocols, so that it costs much less than the servers."""
