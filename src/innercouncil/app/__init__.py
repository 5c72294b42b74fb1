"""Use cases: wire stages, store and models together."""
