"""What answers look like, for the OpenAPI document: one index, a document of it, a run, and what is told of them."""

from __future__ import annotations

from pydantic.config import JsonDict, JsonValue

INDEX = "genie_documents"
RUN_ID = "0f5a3c9e-7d1b-4c8e-9a52-1f6f2f0b7c11"
_MODEL = "universal-sentence-encoder-multilingual-3"
_QUESTION = "How do I renew my card?"
_ANSWER = "At any counter, with the old one."
_TEXTS: JsonDict = {"question": _QUESTION, "answer": _ANSWER}
_METADATA: JsonDict = {"link": "https://example.org/cards", "date": "2026-01-02 03:04:05", "genie_uniqueid": "a1b2"}


def shown(*examples: JsonDict) -> JsonDict:
    """The part of a model's JSON schema that shows them."""
    listed: list[JsonValue] = list(examples)
    return {"examples": listed}


INDEX_SUMMARY: JsonDict = {
    "index": INDEX,
    "source": {"database": "genie", "table": "tbl_genie_genie", "primary_key": ["id"], "is_catalog": False},
    "origin": "vector_pipeline/defs/genie_documents/defs.yaml",
    "at_run_time": False,
    "problems": [],
    "defaults": {"mode": "vector", "limit": 5, "threshold": 0.35, "reranks": False},
    "served": {
        "generation": 1,
        "texts": ["question", "answer"],
        "fields": ["question", "answer"],
        "metadata": [
            {
                "name": "date",
                "kind": "date and time",
                "operators": ["=", "!=", "<", "<=", ">", ">=", "in", "between", "is_null"],
            }
        ],
        "strategy": "separate",
        "provider": "local",
        "model": _MODEL,
        "dimensions": 512,
        "native_dimensions": 512,
        "storage": "vector",
        "methods": {"question": "hnsw", "answer": "hnsw"},
        "view": "public.genie_documents",
    },
}

STATUS: JsonDict = {
    "index": INDEX,
    "ranges": 3,
    "ranges_dirty": 1,
    "documents": 2761,
    "passages": 5522,
    "passages_served": 5521,
    "coverage": 0.9998,
    "quarantined": 0,
    "texts_awaited": 0,
    "lag": {"ranges": 1, "rows": 1, "seconds": 4.2},
    "last_round_at": "2026-01-02T03:04:05Z",
    "oldest_check_at": "2026-01-02T03:04:04Z",
    "last_synced_at": "2026-01-02T03:01:00Z",
    "model": _MODEL,
    "dimensions": 512,
}

_SPENT: JsonDict = {
    "requests": 88,
    "texts": 5522,
    "tokens": 245300,
    "tokens_estimated": 0,
    "tokens_unpriced": 0,
    "cost": 0.0049,
}

COST: JsonDict = {
    "index": INDEX,
    "today": _SPENT,
    "total": _SPENT,
    "budget": {"limit": 5.0, "paid": 0.0049, "in_flight": 0.0, "pauses": False},
    "estimate": {
        "about": "the generation that is served",
        "model": "text-embedding-3-small",
        "rows": 2761,
        "texts": 120,
        "tokens": 5300,
        "price": 0.02,
        "cost": 0.0001,
        "seconds": 1.5,
        "days": None,
        "sampled": 1,
    },
}

GENERATIONS: JsonDict = {
    "index": INDEX,
    "generations": [
        {
            "number": 1,
            "standing": "served",
            "model": _MODEL,
            "dimensions": 512,
            "strategy": "separate",
            "coverage": 1.0,
            "passages": 5522,
            "quarantined": 0,
            "created_at": "2026-01-02T03:00:00Z",
            "completed_at": "2026-01-02T03:04:00Z",
            "activated_at": "2026-01-02T03:04:05Z",
            "retired_at": None,
        }
    ],
    "asked_for": None,
    "rolled_back": False,
    "obstacles": [],
}

STORED_DOCUMENT: JsonDict = {
    "key": "42",
    "texts": _TEXTS,
    "metadata": _METADATA,
    "updated_at": "2026-01-02T03:04:05Z",
    "passages": 2,
    "behind": 0,
    "without_vector": 0,
    "quarantined": 0,
}

DOCUMENT_LIST: JsonDict = {"index": INDEX, "documents": [STORED_DOCUMENT], "missing": [], "next_after": "42"}

QUARANTINE: JsonDict = {
    "index": INDEX,
    "entries": [
        {
            "key": "17",
            "field": "answer",
            "reason": "refused by the provider",
            "message": "HTTP 400: the input is longer than this model takes",
            "attempts": 3,
            "first_failed_at": "2026-01-02T03:04:05Z",
            "last_failed_at": "2026-01-02T04:04:05Z",
            "next_attempt_at": "2026-01-02T06:04:05Z",
            "ignored_at": None,
        }
    ],
    "next_offset": None,
}

CHANGED_TEXTS: JsonDict = {"index": INDEX, "texts": 2}

UNANSWERED_LIST: JsonDict = {
    "index": INDEX,
    "kept_days": 30,
    "queries": [
        {
            "query": "lost key of my locker",
            "times": 4,
            "threshold": 0.7,
            "filtered": False,
            "first_asked_at": "2026-01-02T03:04:05Z",
            "last_asked_at": "2026-01-05T06:07:08Z",
        }
    ],
}

_HIT: JsonDict = {
    "key": "42",
    "index": INDEX,
    "score": 0.91,
    "merged_score": 0.91,
    "vector_score": 0.85,
    "vector_rank": 1,
    "text_score": 0.6,
    "text_rank": 2,
    "field": "question",
    "field_scores": None,
    "texts": _TEXTS,
    "metadata": _METADATA,
    "snippet": {"field": "question", "text": _QUESTION, "html": "How do I <mark>renew</mark> my <mark>card</mark>?"},
    "passage": {"text": _QUESTION, "start": 0, "end": 23, "length": 23},
    "vector_behind": False,
    "without_vector": False,
}

SEARCH_ANSWER: JsonDict = {
    "query": "renew a card",
    "index": INDEX,
    "indexes": [INDEX],
    "hits": [_HIT],
    "total": 1,
    "mode": "hybrid",
    "limit": 5,
    "threshold": 0.35,
    "generation": 1,
    "complete": True,
    "reranked": False,
    "filtered": False,
    "merged_by": None,
    "notes": [],
    "failures": [],
    "seconds": 0.021,
    "timings": [{"index": INDEX, "seconds": 0.021, "embedding": 0.014, "reranking": 0.0, "database": 0.007}],
    "explanation": None,
}

BATCH_ANSWER: JsonDict = {
    "index": INDEX,
    "outcomes": [
        {"status": 200, "answer": SEARCH_ANSWER, "error": None},
        {"status": 422, "answer": None, "error": "'colour' is no metadata of 'genie_documents'; filter by date"},
    ],
    "seconds": 0.03,
}


def _run(index: str, status: str, ended: str | None) -> JsonDict:
    return {
        "id": RUN_ID,
        "job": f"{index}_sync",
        "index": index,
        "status": status,
        "finished": ended is not None,
        "url": f"http://127.0.0.1:3000/runs/{RUN_ID}",
        "created": "2026-01-02T03:04:00Z",
        "started": "2026-01-02T03:04:05Z",
        "ended": ended,
    }


_ENDED = _run(INDEX, "SUCCESS", "2026-01-02T03:04:15Z")

RUN_LIST: JsonDict = {"runs": [_ENDED], "next_before": None}

RUN_DETAILS: JsonDict = {
    "run": _ENDED,
    "metadata": {"documents_written": 12, "deleted": 1, "texts_embedded": 20, "cost_usd": 0.0001, "seconds": 1.8},
    "failure": None,
}

STARTED_RUN: JsonDict = {
    "run": _ENDED,
    "joined": False,
    "outcome": {
        "documents_written": 12,
        "deleted": 1,
        "texts_embedded": 20,
        "cost": 0.0001,
        "paused": None,
        "failure": None,
    },
}

GOING_ON: JsonDict = {"run": _run(INDEX, "STARTED", None), "joined": True, "outcome": None}

CREATED_INDEX: JsonDict = {"index": "shop_orders", "run": _run("shop_orders", "QUEUED", None) | {"started": None}}

REMOVED_INDEX: JsonDict = {"index": "shop_orders", "left_over": None}
