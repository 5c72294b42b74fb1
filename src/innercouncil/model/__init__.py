"""Domain types and the protocols stages ask for. Imports nothing of ours."""
