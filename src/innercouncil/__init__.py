"""innercouncil: discover the distinct ways you think in your AI chats."""

__version__ = "0.1.0"
