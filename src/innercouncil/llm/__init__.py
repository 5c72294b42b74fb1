"""Model backends behind the ChatModel port (none yet: they come with the council)."""
