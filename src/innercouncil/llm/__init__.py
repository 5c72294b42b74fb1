"""Model backends behind the ChatModel port, each wire format in its file; what they share of the wire is in `http`."""
