"""`search_job`: a search from the Launchpad, its hits as a table in the run and as the op's output."""

from collections.abc import Sequence
from dataclasses import asdict, astuple, replace
from typing import Any, cast

import dagster as dg
from pydantic import Field

from vector_pipeline import display
from vector_pipeline.core.search import Hit, SearchAnswer
from vector_pipeline.core.search.many import Answering, cache_for, search_across
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.search.request import SearchRequest, read_field
from vector_pipeline.core.spec import SearchMode
from vector_pipeline.declarations import Declaration, find_declaration
from vector_pipeline.orchestration import metadata
from vector_pipeline.orchestration.resources import IndexesResource

_FACTS = ("score", "vector", "words", "key", "by", "behind")


class SearchConfig(dg.Config):
    """What to search for."""

    query: str = Field(description="The question, in words.")
    index: str = Field(default="genie_documents", description="Name of the index.")
    indexes: list[str] | None = Field(
        default=None, description="Names of several indexes to search together, instead of `index`."
    )
    limit: int | None = Field(default=None, description="Number of hits; the index's own if left out.")
    threshold: float | None = Field(default=None, description="Hits score strictly above it.")
    field: str | None = Field(
        default=None,
        description="A field that is embedded; `best`; several, question, answer: by the best of them; or with "
        "weights, question=0.7, answer=0.3: by their weighted mean.",
    )
    generation: int | None = Field(default=None, description="A generation's number; the served one's if left out.")
    filter: dict[str, Any] | None = Field(
        default=None, description="Conditions on metadata, such as {category: health}; see docs/filters.md."
    )
    mode: str | None = Field(default=None, description="`vector`, `text` or `hybrid`; the index's own if left out.")
    rerank: bool | None = Field(default=None, description="Whether the declared reranker orders the hits; it does.")


@dg.op
def search(context: dg.OpExecutionContext, config: SearchConfig, indexes: IndexesResource) -> list[dict[str, Any]]:
    """The documents that fit the query best, best first."""
    request = SearchRequest(
        config.query,
        config.limit,
        config.threshold,
        read_field([config.field] if config.field else []),
        config.generation,
        config.filter,
        mode=cast("SearchMode | None", config.mode),
        rerank=config.rerank,
    )
    if config.indexes:
        return _search_across(context, config.indexes, request, indexes)
    declaration = find_declaration(config.index)
    with indexes.open(declaration) as opened:
        answer = opened.answer(request)
    shown = declaration.spec.document.previews
    hits = metadata.table(
        (*_FACTS, *(answer.hits[0].texts if answer.hits and shown else ())),
        [(*_facts(hit), *(_texts(hit) if shown else ())) for hit in answer.hits],
    )
    context.add_output_metadata(
        {
            "index": config.index,
            "hits": hits,
            "found": len(answer.hits),
            "mode": answer.mode,
            "reranked": answer.reranked,
            "threshold": answer.threshold,
            **_notes(answer.notes),
            "seconds": answer.seconds,
        }
    )
    return [asdict(hit if shown else _without_texts(hit)) for hit in answer.hits]


def _search_across(
    context: dg.OpExecutionContext, names: Sequence[str], request: SearchRequest, indexes: IndexesResource
) -> list[dict[str, Any]]:
    """The nearest documents of several indexes, best first. Texts of those that show none are left out."""
    declarations = [find_declaration(name) for name in dict.fromkeys(names)]
    cache = QueryCache(cache_for(indexes.settings().query_cache, len(declarations)))

    def when_asked(declaration: Declaration) -> Answering:
        def ask(request: SearchRequest) -> SearchAnswer:
            with indexes.open(declaration, cache) as opened:
                return opened.answer(request)

        return ask

    shown = {declaration.spec.name: declaration.spec.document.previews for declaration in declarations}
    answer = search_across({one.spec.name: when_asked(one) for one in declarations}, request)
    failures = [astuple(failure) for failure in answer.failures]
    hits = metadata.table(
        ("index", *_FACTS, "texts"),
        [
            (found.index, *_facts(found.hit), " · ".join(_texts(found.hit)) if shown[found.index] else "")
            for found in answer.hits
        ],
    )
    context.add_output_metadata(
        {
            "indexes": ", ".join(answer.answered),
            "hits": hits,
            "found": len(answer.hits),
            "merged_by": answer.merged_by,
            **({"failed": metadata.table(("index", "reason"), failures)} if failures else {}),
            **_notes(answer.notes),
            "seconds": answer.seconds,
        }
    )
    return [
        asdict(found if shown[found.index] else replace(found, hit=_without_texts(found.hit))) for found in answer.hits
    ]


def _notes(notes: Sequence[str]) -> dict[str, dg.MarkdownMetadataValue]:
    return {"notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))} if notes else {}


def _facts(hit: Hit) -> tuple[Any, ...]:
    return (
        f"{hit.score:.3f}",
        display.place_and_score(hit.vector_rank, hit.vector_score),
        display.place_and_score(hit.text_rank, hit.text_score),
        hit.key,
        hit.field,
        hit.vector_behind,
    )


def _without_texts(hit: Hit) -> Hit:
    """The hit as the op gives it on where Dagster is shown nothing of a row: an output is a file."""
    return replace(hit, texts={}, metadata={}, passage=None, snippet=None)


def _texts(hit: Hit) -> list[str]:
    return [(text or "")[:200] for text in hit.texts.values()]


@dg.job(description="Search an index from the Launchpad.", executor_def=dg.in_process_executor)
def search_job() -> None:
    search()
