"""`compare_search_job`: one query asked in several ways, the answers side by side as a table in the run."""

from collections.abc import Sequence
from typing import Any, cast

import dagster as dg
from pydantic import Field

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.search.answer import Hit, SearchAnswer
from vector_pipeline.core.search.request import SearchRequest, read_field
from vector_pipeline.core.search.side_by_side import ComparedDocument, SideBySide, side_by_side
from vector_pipeline.core.spec import SearchMode
from vector_pipeline.declarations import find_declaration
from vector_pipeline.orchestration import metadata
from vector_pipeline.orchestration.resources import IndexesResource

_LONGEST_TEXT = 100
_MOST_WAYS = 12


class CompareSearchConfig(dg.Config):
    """What to search for, and in which ways: each generation in each mode by each of the fields."""

    query: str = Field(description="The question, in words.")
    index: str = Field(default="genie_documents", description="Name of the index.")
    generations: list[int] = Field(
        default_factory=list,
        description="Numbers of generations; left out: the served one and, if there is one, that being built.",
    )
    modes: list[str] = Field(
        default_factory=list,
        description="`vector`, `text`, `hybrid`; left out: as declared.",
        examples=[["vector", "hybrid"]],
    )
    fields: list[str] = Field(
        default_factory=list,
        description="What to search by: a field, `best`, or weights such as `question=0.7, answer=0.3`; left out: as "
        "declared.",
    )
    limit: int = Field(default=10, ge=1, le=100, description="Number of hits of each answer.")
    threshold: float | None = Field(default=None, description="Hits score strictly above it.")
    filter: dict[str, Any] | None = Field(default=None, description="Conditions on metadata; see docs/filters.md.")


@dg.op
def compare_search(
    context: dg.OpExecutionContext, config: CompareSearchConfig, indexes: IndexesResource
) -> list[dict[str, Any]]:
    """The documents of all answers, with their places in each."""
    declaration = find_declaration(config.index)
    with indexes.open(declaration) as opened:
        answers = _ask(opened, _requests(opened, config))
    compared = side_by_side(answers)
    context.add_output_metadata(
        {
            "index": config.index,
            "side_by_side": _table(compared, quoting=declaration.spec.document.previews),
            "answers": metadata.table(
                ("answer", "found", "in this alone", "milliseconds", "complete"),
                [
                    (name, len(one.hits), compared.only_in(name), f"{1000 * one.seconds:.1f}", one.complete)
                    for name, one in answers.items()
                ],
            ),
            "in_all": compared.in_all,
            "documents": len(compared.documents),
        }
    )
    return [
        {"key": document.hit.key, "in": compared.whereabouts(document)}
        | {name: {"rank": place.rank, "score": place.score} for name, place in document.places.items()}
        for document in compared.documents
    ]


def _requests(opened: VectorIndex, config: CompareSearchConfig) -> dict[str, SearchRequest]:
    """The request of each way, by what tells it from the others."""
    report = opened.generations()
    generations = config.generations or [one.number for one in (report.served, report.building) if one is not None]
    modes: Sequence[str | None] = config.modes or [None]
    fields: Sequence[str | None] = config.fields or [None]
    if len(generations) * len(modes) * len(fields) > _MOST_WAYS:
        raise VectorPipelineError(f"a table takes {_MOST_WAYS} answers; name fewer generations, modes or fields")
    return {
        ", ".join(filter(None, (f"generation {generation}", mode, field))): SearchRequest(
            config.query,
            limit=config.limit,
            threshold=config.threshold,
            field=None if field is None else read_field([field]),
            generation=generation,
            filter=config.filter,
            mode=cast("SearchMode | None", mode),
        )
        for generation in generations
        for mode in modes
        for field in fields
    }


def _ask(opened: VectorIndex, requests: dict[str, SearchRequest]) -> dict[str, SearchAnswer]:
    answers = {}
    for name, answer in zip(requests, opened.search_many(list(requests.values())), strict=True):
        if isinstance(answer, VectorPipelineError):
            raise answer
        answers[name] = answer
    return answers


def _table(compared: SideBySide, *, quoting: bool) -> dg.MarkdownMetadataValue:
    def row(document: ComparedDocument) -> tuple[object, ...]:
        places = [document.places.get(name) for name in compared.names]
        found = (f"{place.rank} ({place.score:.3f})" if place is not None else "–" for place in places)
        return (document.hit.key, *found, compared.whereabouts(document), *([_text(document.hit)] if quoting else []))

    columns = ("key", *(f"{name}: rank (score)" for name in compared.names), "in", *(["text"] if quoting else []))
    return metadata.table(columns, [row(document) for document in compared.documents])


def _text(hit: Hit) -> str:
    text = (hit.passage.text if hit.passage is not None else hit.texts.get(hit.field)) or ""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …"


@dg.job(
    description="Ask one query of several generations, in several modes or by several fields: answers side by side.",
    executor_def=dg.in_process_executor,
)
def compare_search_job() -> None:
    compare_search()
