"""The service: the HTTP API, the MCP tools and the search page over the core. It never loads Dagster."""
