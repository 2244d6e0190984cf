"""The OpenAI-compatible provider against a real server that misbehaves on request."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator

import numpy as np
import openai
import pytest

from vector_pipeline.core.embedding.hosts import normalise_host
from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider
from vector_pipeline.core.errors import (
    ConfigurationError,
    DishonestAnswerError,
    ProviderError,
    ProviderRefusedError,
    ProviderRejectsUsError,
    ProviderUnavailableError,
)
from vector_pipeline_tests.misbehaving_answers import GIVE_NAN, GIVE_SHORT, Manner, vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider

KEY = "sk-a-very-secret-key-1234567890"
TEXTS = [f"text number {i}" for i in range(7)]
DIMENSIONS = 24


@pytest.fixture(scope="module")
def shared_server() -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(dimensions=DIMENSIONS) as server:
        yield server


@pytest.fixture
def server(shared_server: MisbehavingProvider) -> MisbehavingProvider:
    shared_server.behave("well")
    shared_server.reset()
    return shared_server


def provider_of(
    server: MisbehavingProvider, *, dimensions: int | None = None, timeout_seconds: float = 20.0
) -> OpenAICompatibleProvider:
    return OpenAICompatibleProvider(
        server.url, server.model, KEY, dimensions=dimensions, timeout_seconds=timeout_seconds
    )


@pytest.mark.parametrize("manner", ["well", "lists", "mixed", "shuffle"])
def test_vectors_come_in_the_order_of_the_texts_however_they_are_sent(
    server: MisbehavingProvider, manner: Manner
) -> None:
    server.behave(manner)
    batch = provider_of(server).embed(TEXTS)
    np.testing.assert_array_equal(batch.vectors, vectors_of(TEXTS, DIMENSIONS))
    assert batch.vectors.dtype == np.float32
    assert batch.vectors.flags.c_contiguous
    assert batch.vectors.flags.writeable
    assert batch.lengths.tolist() == [DIMENSIONS] * len(TEXTS)


def test_tokens_are_those_that_the_provider_counted(server: MisbehavingProvider) -> None:
    assert provider_of(server).embed(TEXTS).tokens == 3 * len(TEXTS)


def test_tokens_are_unknown_if_the_provider_does_not_say(server: MisbehavingProvider) -> None:
    server.behave("no usage")
    assert provider_of(server).embed(TEXTS).tokens is None


def test_base64_is_asked_for_and_dimensions_are_not_sent_unless_declared(server: MisbehavingProvider) -> None:
    provider_of(server).embed(TEXTS)
    assert server.last_request == {"model": server.model, "encoding_format": "base64"}


def test_declared_dimensions_are_sent_and_honoured(server: MisbehavingProvider) -> None:
    batch = provider_of(server, dimensions=8).embed(TEXTS)
    assert server.last_request["dimensions"] == 8
    assert batch.vectors.shape == (len(TEXTS), 8)


def test_one_call_is_one_request_even_if_it_fails(server: MisbehavingProvider) -> None:
    server.behave("status", status=503)
    with pytest.raises(ProviderUnavailableError):
        provider_of(server).embed(TEXTS)
    assert server.stats() == {"requests": 1, "texts": len(TEXTS), "distinct_texts": len(TEXTS)}


def test_no_texts_cost_no_request(server: MisbehavingProvider) -> None:
    assert len(provider_of(server).embed([]).vectors) == 0
    assert server.requests == 0


def test_a_vector_of_another_length_is_a_row_of_nan_beside_the_good_ones(server: MisbehavingProvider) -> None:
    texts = ["fine", f"{GIVE_SHORT} please", "fine too"]
    batch = provider_of(server).embed(texts)
    assert batch.lengths.tolist() == [DIMENSIONS, 3, DIMENSIONS]
    assert np.isnan(batch.vectors[1]).all()
    np.testing.assert_array_equal(batch.vectors[[0, 2]], vectors_of(["fine", "fine too"], DIMENSIONS))


def test_vectors_with_nan_are_passed_on_for_judgement(server: MisbehavingProvider) -> None:
    server.behave("lists")
    assert np.isnan(provider_of(server).embed([f"{GIVE_NAN} please", "fine"]).vectors[0, 0])


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("truncate", "no JSON"),
        ("html", "Down for maintenance"),
        ("error in 200", "upstream failed"),
        ("fewer", "6 vectors came for 7 texts"),
        ("more", "8 vectors came for 7 texts"),
        ("duplicate", "two vectors have the index 0"),
        ("no index", "index None"),
        ("broken base64", "cannot be decoded"),
    ],
)
def test_an_answer_that_cannot_be_matched_to_the_texts_is_dishonest(
    server: MisbehavingProvider, manner: Manner, words: str
) -> None:
    server.behave(manner)
    with pytest.raises(DishonestAnswerError, match=words):
        provider_of(server).embed(TEXTS)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_an_overloaded_or_broken_provider_is_unavailable(server: MisbehavingProvider, status: int) -> None:
    server.behave("status", status=status)
    with pytest.raises(ProviderUnavailableError, match=f"HTTP {status}: out of order") as caught:
        provider_of(server).embed(TEXTS)
    assert caught.value.retry_after_seconds is None


def test_the_pause_that_the_provider_asks_for_is_known(server: MisbehavingProvider) -> None:
    server.behave("status", status=429, retry_after="7")
    with pytest.raises(ProviderUnavailableError) as caught:
        provider_of(server).embed(TEXTS)
    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize("manner", ["reset", "cut"])
def test_a_broken_connection_means_unavailable(server: MisbehavingProvider, manner: Manner) -> None:
    server.behave(manner)
    with pytest.raises(ProviderUnavailableError, match="cannot be reached or broke off"):
        provider_of(server).embed(TEXTS)


def test_a_server_that_is_not_there_means_unavailable() -> None:
    with MisbehavingProvider(dimensions=3) as server:
        gone = provider_of(server)
        assert len(gone.embed(["once"]).vectors) == 1
    with pytest.raises(ProviderUnavailableError, match=server.url):
        gone.embed(TEXTS)


@pytest.mark.parametrize("manner", ["hang", "drip", "drip headers"])
def test_a_request_ends_with_its_time_limit_even_if_bytes_keep_coming(
    server: MisbehavingProvider, manner: Manner
) -> None:
    server.behave(manner, seconds=10)
    started = time.monotonic()
    with pytest.raises(ProviderUnavailableError, match=r"no whole answer in 0\.4 s"):
        provider_of(server, timeout_seconds=0.4).embed(TEXTS)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_carries_the_words_of_the_provider(server: MisbehavingProvider, status: int) -> None:
    server.behave("status", status=status, message="this text is too long " * 100)
    with pytest.raises(ProviderRefusedError, match=f"^HTTP {status}: this text is too long") as caught:
        provider_of(server).embed(TEXTS)
    assert len(str(caught.value)) <= 500


def test_a_text_without_utf8_form_is_refused_and_not_sent(server: MisbehavingProvider) -> None:
    with pytest.raises(ProviderRefusedError, match="surrogate"):
        provider_of(server).embed(["half a \ud83d face"])
    assert server.requests == 0


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_wrong_key_model_or_address_is_not_blamed_on_the_text(server: MisbehavingProvider, status: int) -> None:
    server.behave("status", status=status)
    with pytest.raises(ProviderRejectsUsError, match="EMBEDDING_API_KEY"):
        provider_of(server).embed(TEXTS)


def test_a_path_that_is_not_the_api_is_not_blamed_on_the_text(server: MisbehavingProvider) -> None:
    lost = OpenAICompatibleProvider(f"http://127.0.0.1:{server.port}/v2", "m")
    with pytest.raises(ProviderRejectsUsError, match="/v2"):
        lost.embed(TEXTS)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500])
def test_the_key_shows_nowhere_even_if_the_server_repeats_it(server: MisbehavingProvider, status: int) -> None:
    provider = provider_of(server)
    # The padding puts the repeated key where a careless message would be cut in the middle of it.
    server.behave("echo key", status=status, message="x" * 440)
    with pytest.raises(ProviderError) as caught:
        provider.embed(TEXTS)
    error = caught.value
    shown = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
    shown += [repr(provider), str(provider), provider.name]
    assert not [text for text in shown if KEY[:12] in text]
    assert error.__cause__ is None
    assert error.__context__ is None


def test_the_key_does_not_show_in_a_dishonest_answer(server: MisbehavingProvider) -> None:
    shown = OpenAICompatibleProvider(server.url, "m", "maintenance")
    server.behave("html")
    with pytest.raises(DishonestAnswerError) as caught:
        shown.embed(TEXTS)
    assert "maintenance" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_key_with_a_line_break_after_it_works() -> None:
    with MisbehavingProvider(dimensions=3, api_key=KEY) as server:
        assert len(OpenAICompatibleProvider(server.url, "m", f"{KEY}\n").embed(TEXTS).vectors) == len(TEXTS)


def test_a_key_that_no_header_can_hold_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="MY_KEY has characters") as caught:
        OpenAICompatibleProvider("localhost", "m", f"{KEY}\nx", api_key_variable="MY_KEY")
    assert KEY not in str(caught.value)


def test_a_server_without_key_works_without_one(server: MisbehavingProvider) -> None:
    assert len(OpenAICompatibleProvider(server.url, "m").embed(TEXTS).vectors) == len(TEXTS)


def test_the_vectors_are_those_of_the_bare_client(server: MisbehavingProvider) -> None:
    bare = openai.OpenAI(api_key=KEY, base_url=server.url).embeddings.create(input=TEXTS, model="m")
    expected = np.array([item.embedding for item in bare.data], np.float32)
    np.testing.assert_array_equal(provider_of(server).embed(TEXTS).vectors, expected)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost:8080", "http://localhost:8080/v1"),
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://h/v1/embeddings", "http://h/v1"),
        ("http://h:1/openai/deployments/x", "http://h:1/openai/deployments/x"),
        (" 10.0.0.7 ", "http://10.0.0.7/v1"),
        ("[::1]:8080", "http://[::1]:8080/v1"),
    ],
)
def test_a_host_means_its_v1_unless_it_has_a_path(host: str, url: str) -> None:
    assert normalise_host(host) == url


@pytest.mark.parametrize("host", ["", "ftp://h", "http://", "http://h?x=1", "http://h:port", "http://[::1"])
def test_a_host_that_is_no_base_url_is_refused_with_the_remedy(host: str) -> None:
    with pytest.raises(ConfigurationError, match="EMBEDDING_MODEL_HOST"):
        normalise_host(host)


def test_a_password_in_the_host_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="a user or a password") as caught:
        normalise_host("http://me:hunter2@h/v1")
    assert "hunter2" not in str(caught.value)
