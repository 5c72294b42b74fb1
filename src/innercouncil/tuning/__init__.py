"""Training rows from a persona's messages, and which of them are good enough; knows nothing of files and models."""
