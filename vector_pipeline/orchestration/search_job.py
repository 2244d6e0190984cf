"""`search_job`: a search from the Launchpad, its hits as a table in the run and as the op's output."""

from dataclasses import asdict
from typing import Any, cast

import dagster as dg
from pydantic import Field

from vector_pipeline import display
from vector_pipeline.core.spec import SearchMode
from vector_pipeline.declarations import find_declaration
from vector_pipeline.orchestration import metadata
from vector_pipeline.orchestration.resources import IndexesResource


class SearchConfig(dg.Config):
    """What to search for."""

    query: str = Field(description="The question, in words.")
    index: str = Field(default="genie_documents", description="Name of the index.")
    limit: int | None = Field(default=None, description="Number of hits; the index's own if left out.")
    threshold: float | None = Field(default=None, description="Hits score strictly above it.")
    field: str | None = Field(default=None, description="A field that is embedded, or `best`.")
    generation: int | None = Field(default=None, description="A generation's number; the served one's if left out.")
    filter: dict[str, Any] | None = Field(
        default=None, description="Conditions on metadata, such as {category: health}; see README.md, Filters."
    )
    mode: str | None = Field(default=None, description="`vector`, `text` or `hybrid`; the index's own if left out.")


@dg.op
def search(context: dg.OpExecutionContext, config: SearchConfig, indexes: IndexesResource) -> list[dict[str, Any]]:
    """The documents that fit the query best, best first."""
    declaration = find_declaration(config.index)
    with indexes.open(declaration) as opened:
        answer = opened.search(
            config.query,
            limit=config.limit,
            threshold=config.threshold,
            field=config.field,
            generation=config.generation,
            filter=config.filter,
            mode=cast("SearchMode | None", config.mode),
        )
    shown = declaration.spec.document.previews
    hits = metadata.table(
        ("score", "vector", "words", "key", "by", "behind", *(answer.hits[0].texts if answer.hits and shown else ())),
        [
            (
                f"{hit.score:.3f}",
                display.place_and_score(hit.vector_rank, hit.vector_score),
                display.place_and_score(hit.text_rank, hit.text_score),
                hit.key,
                hit.field,
                hit.vector_behind,
                *((text or "")[:200] for text in hit.texts.values() if shown),
            )
            for hit in answer.hits
        ],
    )
    context.add_output_metadata(
        {
            "index": config.index,
            "hits": hits,
            "found": len(answer.hits),
            "mode": answer.mode,
            "threshold": answer.threshold,
            **({"notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in answer.notes))} if answer.notes else {}),
            "seconds": answer.seconds,
        }
    )
    return [asdict(hit) for hit in answer.hits]


@dg.job(description="Search an index from the Launchpad.", executor_def=dg.in_process_executor)
def search_job() -> None:
    search()
