"""Readers of chat exports: `registry` reads any export, `messages` picks out what the person wrote."""
