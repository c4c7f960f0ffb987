"""The documents: that their links lead somewhere, their code is code, and what they say is so."""
