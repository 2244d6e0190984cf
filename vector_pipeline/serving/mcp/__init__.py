"""The tools of the Model Context Protocol, for agents: over HTTP at /mcp, and on standard input and output."""
