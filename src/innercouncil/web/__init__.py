"""The web app: pages, HTTP API, OpenAI-compatible endpoint."""
