"""How good prompts, modes and adapters are: statistics on held-out messages, with their uncertainty."""
