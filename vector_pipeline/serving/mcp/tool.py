"""What a tool is: its name, what it takes and gives, who may call it, and what does its work."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from mcp_types import Tool as ListedTool
from mcp_types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.mcp.arguments import Arguments
from vector_pipeline.serving.mcp.asked import Asked
from vector_pipeline.serving.threads import Kind

SECONDS = 10.0
"""The longest that a tool may take which reads."""


class Answer(BaseModel):
    """What a tool answers with."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    success: bool = True


class LongAnswer(Answer):
    """An answer whose `results` are left out from the end on where they would be too long."""

    left_out: str | None = Field(
        default=None, description="What is missing because the answer would be too long, and how to get it."
    )


_A = TypeVar("_A", bound=Arguments)


@dataclass(frozen=True)
class Tool(Generic[_A]):
    """A tool.

    Attributes:
        run: does the work, in a thread of the tool's kind; its docstring is what agents are told.
        seconds: the longest that it may take.
        changes: it changes something here.
        destroys: what it changes can't be taken back.
        again: called once more, it changes nothing more.
    """

    name: str
    title: str
    scope: AccessScope
    arguments: type[_A]
    answer: type[Answer]
    run: Callable[[Asked, _A], Answer]
    kind: Kind = "rest"
    seconds: float = SECONDS
    changes: bool = field(default=False, kw_only=True)
    destroys: bool = field(default=False, kw_only=True)
    again: bool = field(default=True, kw_only=True)
    alias_of: str | None = field(default=None, kw_only=True)

    @cached_property
    def listed(self) -> ListedTool:
        """As agents are shown it."""
        told = inspect.getdoc(self.run) or ""
        return ListedTool(
            name=self.name,
            title=self.title,
            description=f"The same as {self.alias_of}.\n\n{told}" if self.alias_of else told,
            input_schema=_schema(self.arguments, "validation"),
            output_schema=_schema(self.answer, "serialization"),
            annotations=ToolAnnotations(
                title=self.title,
                read_only_hint=not self.changes,
                destructive_hint=self.destroys,
                idempotent_hint=self.again,
                open_world_hint=False,
            ),
        )

    def read(self, given: dict[str, Any]) -> _A:
        """The arguments.

        Raises:
            ValidationError: they are no arguments of this tool.
        """
        return self.arguments.model_validate(given)


def _schema(model: type[BaseModel], mode: Any) -> dict[str, Any]:
    """The model's JSON schema without what only repeats the names of classes."""
    found = model.model_json_schema(mode=mode)
    for inner in (found, *found.get("$defs", {}).values()):
        inner.pop("title", None)
        inner.pop("description", None)
        for described in inner.get("properties", {}).values():
            described.pop("title", None)
    return found
