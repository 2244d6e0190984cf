"""All tools, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vector_pipeline.serving.mcp.catalog import CATALOG
from vector_pipeline.serving.mcp.declaring import DECLARING
from vector_pipeline.serving.mcp.listing import LISTING
from vector_pipeline.serving.mcp.reading import READING
from vector_pipeline.serving.mcp.running import RUNNING
from vector_pipeline.serving.mcp.searching import SEARCHING
from vector_pipeline.serving.mcp.tool import Tool

TOOLS: Mapping[str, Tool[Any]] = {
    tool.name: tool for tool in (*LISTING, *CATALOG, *SEARCHING, *READING, *RUNNING, *DECLARING)
}
