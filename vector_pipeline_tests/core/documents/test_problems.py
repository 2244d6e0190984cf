"""What a declaration may not say of texts, with the field and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from vector_pipeline.core.declaration import static_problems
from vector_pipeline.core.documents.longest_texts import longest_text
from vector_pipeline.core.documents.problems import length_problems
from vector_pipeline_tests.workbench import faq_spec


@pytest.mark.parametrize(
    ("embedding", "field", "problem"),
    [
        ({"template": "{{ question }}\n{{ answr }}"}, "embedding.template", "line 2: 'answr' is no served text"),
        ({"template": "{{ question "}, "embedding.template", "line 1: "),
        ({"template": "{{ question.__class__ }}"}, "embedding.template", "line 1: access to '__class__'"),
        ({"template": "{{ question }}", "strategy": "concat"}, "embedding.template", "a strategy is declared as well"),
        ({"split": {"tokens": 100}, "strategy": "average"}, "embedding.split", "no passage of it can be found"),
        ({"split": {"tokens": 100, "overlap": 100}}, "embedding.split.overlap", "can't repeat 100"),
    ],
)
def test_what_is_wrong_whatever_the_model_is_named(embedding: dict[str, Any], field: str, problem: str) -> None:
    [found] = static_problems(faq_spec(embedding=embedding))
    assert found.field == field
    assert problem in found.problem
    assert found.remedy


@pytest.mark.parametrize(
    ("embedding", "field", "problem"),
    [
        ({"split": {"tokens": 600}}, "embedding.split.tokens", "takes 512, with the prefix 512"),
        ({"split": {"tokens": 505}, "document_prefix": "passage: "}, "embedding.split.tokens", "with the prefix 501"),
        ({"longest_tokens": 400, "split": {"tokens": 500}}, "embedding.split.tokens", "declare 400 or fewer"),
        ({"longest_tokens": 16, "document_prefix": "passage: "}, "embedding.document_prefix", "no room left"),
    ],
)
def test_what_is_too_long_for_the_model_is_named(embedding: dict[str, Any], field: str, problem: str) -> None:
    [found] = length_problems(faq_spec(embedding=embedding).embedding, "intfloat/multilingual-e5-small")
    assert found.field == field
    assert problem in f"{found.problem}; {found.remedy}"


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("text-embedding-3-large", 8191),
        ("Qwen/Qwen3-Embedding-8B", 32_768),
        ("intfloat/multilingual-e5-large-instruct", 512),
        ("intfloat/e5-mistral-7b-instruct", 4096),
        ("BAAI/bge-m3", 8192),
        ("BAAI/bge-small-en-v1.5", 512),
        ("nomic-embed-text:latest", 2048),
        ("sentence-transformers/all-MiniLM-L6-v2", 256),
        ("somebody-elses", 8192),
    ],
)
def test_the_longest_text_of_common_models_is_known(model: str, tokens: int) -> None:
    assert longest_text(model) == tokens
