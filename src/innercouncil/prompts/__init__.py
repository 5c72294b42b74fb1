"""Every text that is ever sent to a model, one template a file."""
