"""Builds the documentation: the pages of docs/, and the reference, which is read from the code that it describes."""
