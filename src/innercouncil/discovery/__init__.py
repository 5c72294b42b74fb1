"""Labels, clusters, names and prompts: pure work on domain types."""
