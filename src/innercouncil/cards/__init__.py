"""Persona cards in other programs' formats, read and written."""
