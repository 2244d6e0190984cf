"""Getting to know which key ranges differ from the source."""
