"""What `doctor` says of a provider, against servers of every kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline.core.embedding.doctor import ProviderFindings, look_at_provider
from vector_pipeline.core.findings import Finding, Verdict
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import EmbeddingSpec, LocalProviderSpec, OpenAIProviderSpec
from vector_pipeline_tests.dialects import COHERE, LM_STUDIO, TEI, VLLM_BEFORE_BASE64, Dialect
from vector_pipeline_tests.misbehaving_answers import Manner
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider


@pytest.fixture
def server() -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(dimensions=24, api_key="right") as server:
        yield server


def look(server: MisbehavingProvider, key: str = "right", **declared: object) -> ProviderFindings:
    block = OpenAIProviderSpec(host=server.url, api_key_variable="KEY", texts_per_request=40)
    spec = EmbeddingSpec.model_validate({"provider": block, "model": "m"} | declared)
    return look_at_provider(spec, EmbeddingSettings(), ("faq",), {"KEY": key})


def told(findings: ProviderFindings, what: str) -> Finding:
    [finding] = [one for one in findings.findings if one.what == what]
    return finding


def verdicts(findings: ProviderFindings) -> set[Verdict]:
    return {finding.verdict for finding in findings.findings}


def test_a_good_provider_is_told_with_dimension_latency_limits_and_what_it_honours(
    server: MisbehavingProvider,
) -> None:
    found = look(server)
    assert (found.provider, found.indexes, found.dimensions) == ("openai:m", ("faq",), 24)
    assert found.latency_seconds is not None
    assert verdicts(found) == {Verdict.OK, Verdict.NOTE}
    assert told(found, "one text").found == "an honest vector of 24 numbers"
    assert told(found, "the same text twice").found == "the same vector"
    assert told(found, "base64").found == "honoured"
    assert told(found, "dimensions").found == "honoured: 12 asked for, 12 given"
    assert told(found, "40 texts in one request").verdict is Verdict.OK
    assert told(found, "limits as declared").found == (
        "40 texts and 300,000 tokens a request, 8,192 tokens a text, 8 requests at once"
    )


def test_rate_limits_that_the_provider_tells_are_shown() -> None:
    with MisbehavingProvider(24, requests_per_second=100) as server:
        server.tells_what_is_left = True
        assert "x-ratelimit-remaining-requests: 9" in told(look(server), "rate limits").found


def test_the_local_model_is_looked_at_too() -> None:
    found = look_at_provider(EmbeddingSpec(provider=LocalProviderSpec(texts_per_request=2)), EmbeddingSettings(), ())
    assert found.dimensions == 512
    assert verdicts(found) == {Verdict.OK, Verdict.NOTE}
    assert told(found, "dimensions").found == "512 only"


@pytest.mark.parametrize(
    ("dialect", "what", "words"),
    [
        (LM_STUDIO, "base64", "asked for and ignored"),
        (VLLM_BEFORE_BASE64, "base64", "lists of numbers are asked for"),
        (LM_STUDIO, "dimensions", "ignored"),
        (COHERE, "dimensions", "not honoured, so leave them out (HTTP 400"),
    ],
)
def test_what_a_server_does_not_honour_is_a_note(dialect: Dialect, what: str, words: str) -> None:
    with MisbehavingProvider(24, dialect=dialect) as server:
        finding = told(look(server), what)
    assert finding.verdict is Verdict.NOTE
    assert words in finding.found


def test_more_texts_than_the_server_takes_are_a_warning_that_names_the_setting() -> None:
    with MisbehavingProvider(24, dialect=TEI) as server:
        finding = told(look(server), "40 texts in one request")
    assert finding.verdict is Verdict.WARNING
    assert "batch size 40 > maximum allowed batch size 32" in finding.found
    assert "texts_per_request" in finding.remedy


@pytest.mark.parametrize(
    ("manner", "words"),
    [("html", "Down for maintenance"), ("status", "HTTP 503"), ("fewer", "0 vectors came for 1 texts")],
)
def test_a_provider_that_gives_no_vector_is_wrong_and_its_words_are_told(
    server: MisbehavingProvider, manner: Manner, words: str
) -> None:
    server.behave(manner, status=503)
    finding = told(look(server), "one text")
    assert finding.verdict is Verdict.WRONG
    assert words in finding.found
    assert finding.remedy


def test_a_wrong_key_is_told_by_the_name_of_its_variable_and_not_shown(server: MisbehavingProvider) -> None:
    finding = told(look(server, key="a-very-wrong-key"), "one text")
    assert finding.verdict is Verdict.WRONG
    assert "KEY" in finding.found
    assert "a-very-wrong-key" not in finding.found


def test_a_declared_length_that_the_model_does_not_give_is_wrong_and_the_right_one_named() -> None:
    with MisbehavingProvider(24, dialect=LM_STUDIO) as server:
        finding = told(look(server, dimensions=12), "one text")
    assert finding.verdict is Verdict.WRONG
    assert finding.remedy == "declare embedding.dimensions: 24, or leave it out"


def test_quantised_vectors_are_told_and_other_ones_are_a_warning(server: MisbehavingProvider) -> None:
    server.behave("jitter")
    assert told(look(server), "the same text twice").found.startswith("nearly the same vector: cosine 0.9999")
    server.behave("other model", 1)
    assert told(look(server), "the same text twice").verdict is Verdict.WARNING


def test_a_provider_that_is_not_configured_is_wrong() -> None:
    found = look_at_provider(EmbeddingSpec(provider=OpenAIProviderSpec()), EmbeddingSettings(), ("faq",), {})
    assert told(found, "configuration").verdict is Verdict.WRONG
    assert "EMBEDDING_MODEL_HOST" in told(found, "configuration").found
