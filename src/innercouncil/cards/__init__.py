"""Persona cards in other programs' formats, read and written: `registry` is the door, each format has its file."""
