"""Embedders: Ollama, and three kinds of models in a folder on this disk. Nothing here downloads anything."""
