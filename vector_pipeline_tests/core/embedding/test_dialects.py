"""Servers that call themselves OpenAI-compatible, each with the deviations of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider
from vector_pipeline.core.embedding.requesting import Embedded, request_halving
from vector_pipeline.core.errors import DishonestAnswerError, ProviderRefusedError, ProviderUnavailableError
from vector_pipeline_tests import dialects
from vector_pipeline_tests.dialects import COHERE, LM_STUDIO, MISTRAL, TEI, VLLM, VLLM_BEFORE_BASE64, Dialect
from vector_pipeline_tests.misbehaving_answers import vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider

DIMENSIONS = 24
TEXTS = [f"text number {i}" for i in range(7)]


@contextmanager
def serving(dialect: Dialect) -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(DIMENSIONS, dialect=dialect) as server:
        yield server


def provider_of(server: MisbehavingProvider, **settings: object) -> OpenAICompatibleProvider:
    return OpenAICompatibleProvider(server.url, server.model, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", dialects.ALL, ids=lambda dialect: dialect.name)
def test_every_server_gives_the_vectors_with_the_settings_left_as_they_are(dialect: Dialect) -> None:
    with serving(dialect) as server:
        batch = provider_of(server).embed(TEXTS)
    np.testing.assert_array_equal(batch.vectors, vectors_of(TEXTS, DIMENSIONS))


@pytest.mark.parametrize("dialect", dialects.ALL, ids=lambda dialect: dialect.name)
def test_more_texts_than_a_server_takes_at_once_are_embedded_all_the_same(dialect: Dialect) -> None:
    texts = [f"text {i}" for i in range(130)]
    vectors = np.full((len(texts), DIMENSIONS), np.nan, np.float32)
    with serving(dialect) as server:
        for outcome in request_halving(provider_of(server), texts, attempts=2):
            assert isinstance(outcome, Embedded)
            vectors[outcome.positions] = outcome.batch.vectors
    np.testing.assert_array_equal(vectors, vectors_of(texts, DIMENSIONS))


def test_a_server_that_refuses_base64_is_asked_for_lists_from_then_on() -> None:
    with serving(VLLM_BEFORE_BASE64) as server:
        provider = provider_of(server)
        provider.embed(TEXTS)
        assert (server.requests, server.last_request["encoding_format"]) == (2, "float")
        provider.embed(TEXTS)
        assert server.requests == 3


def test_a_declared_encoding_is_asked_for_and_no_other() -> None:
    with serving(VLLM_BEFORE_BASE64) as server:
        with pytest.raises(ProviderRefusedError, match="base64 encoding is not currently supported"):
            provider_of(server, encoding="base64").embed(TEXTS)
        assert server.requests == 1
        assert len(provider_of(server, encoding="float").embed(TEXTS).vectors) == len(TEXTS)
        assert server.requests == 2


def test_a_refusal_that_only_repeats_a_text_about_base64_leaves_the_encoding_as_it_is() -> None:
    with MisbehavingProvider(DIMENSIONS) as server:
        provider = provider_of(server)
        server.behave("status", 2, status=400, message="what is base64? is no text that I embed")
        with pytest.raises(ProviderRefusedError, match="what is base64"):
            provider.embed(["what is base64?"])
        provider.embed(TEXTS)
        assert server.last_request["encoding_format"] == "base64"


def test_how_a_server_writes_vectors_can_be_looked_at() -> None:
    for dialect, asked, written in (
        (TEI, "base64", "base64"),
        (LM_STUDIO, "base64", "list"),
        (VLLM_BEFORE_BASE64, "float", "list"),
    ):
        with serving(dialect) as server:
            found = provider_of(server).examine(["a"])
        assert (found.asked, found.written) == (asked, {written})


def test_mistral_is_asked_for_a_length_in_its_own_field() -> None:
    with serving(MISTRAL) as server:
        with pytest.raises(ProviderRefusedError, match=r"body\.dimensions: Extra inputs are not permitted"):
            provider_of(server, dimensions=8).embed(TEXTS)
        batch = provider_of(server, dimensions=8, dimensions_field="output_dimension").embed(TEXTS)
    assert batch.vectors.shape == (len(TEXTS), 8)


def test_a_server_without_dimensions_serves_an_index_that_declares_the_length_of_its_vectors() -> None:
    with serving(COHERE) as server:
        with pytest.raises(ProviderRefusedError):
            provider_of(server, dimensions=DIMENSIONS).embed(TEXTS)
        batch = provider_of(server, dimensions=DIMENSIONS, dimensions_field="none").embed(TEXTS)
    assert batch.vectors.shape == (len(TEXTS), DIMENSIONS)


def test_the_words_of_a_server_that_cannot_shorten_vectors_are_passed_on() -> None:
    with serving(VLLM) as server, pytest.raises(ProviderRefusedError, match="matryoshka"):
        provider_of(server, dimensions=8).embed(TEXTS)


def test_vectors_without_an_index_are_taken_in_order_only_where_that_is_declared() -> None:
    with MisbehavingProvider(DIMENSIONS) as server:
        server.behave("no index")
        with pytest.raises(DishonestAnswerError, match="missing_index"):
            provider_of(server).embed(TEXTS)
        batch = provider_of(server, missing_index="in_order").embed(TEXTS)
        np.testing.assert_array_equal(batch.vectors, vectors_of(TEXTS, DIMENSIONS))


def test_a_model_that_stumbles_inside_tei_may_succeed_later_or_without_a_text() -> None:
    with serving(TEI) as server:
        server.behave("status", status=424, message="inference failed")
        with pytest.raises(ProviderUnavailableError, match="424") as caught:
            provider_of(server).embed(TEXTS)
    assert caught.value.may_be_due_to_a_text
