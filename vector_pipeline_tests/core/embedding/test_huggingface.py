"""The Hugging Face provider against a real endpoint that answers in every shape, and misbehaves on request."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import numpy as np
import pytest

from vector_pipeline.core.embedding.choose import choose_provider
from vector_pipeline.core.embedding.huggingface import HuggingFaceProvider
from vector_pipeline.core.errors import (
    DishonestAnswerError,
    ProviderError,
    ProviderRefusedError,
    ProviderRejectsUsError,
    ProviderUnavailableError,
)
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import EmbeddingSpec
from vector_pipeline_tests.misbehaving_answers import GIVE_NAN, Manner, Shape, token_vectors, vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider

TOKEN = "hf_a-very-secret-token-1234567890"
TEXTS = ["one", "two words", "three more words"]
DIMENSIONS = 24


@pytest.fixture(scope="module")
def shared_server() -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(dimensions=DIMENSIONS) as server:
        yield server


@pytest.fixture
def server(shared_server: MisbehavingProvider) -> MisbehavingProvider:
    shared_server.behave("well")
    shared_server.shape = "nested"
    shared_server.reset()
    return shared_server


def provider_of(server: MisbehavingProvider, **settings: object) -> HuggingFaceProvider:
    return HuggingFaceProvider("intfloat/e5-small", server.features_url, TOKEN, **settings)  # type: ignore[arg-type]


def test_vectors_come_in_the_order_of_the_texts_with_one_request(server: MisbehavingProvider) -> None:
    batch = provider_of(server).embed(TEXTS)
    np.testing.assert_allclose(batch.vectors, vectors_of(TEXTS, DIMENSIONS), rtol=1e-6)
    assert batch.vectors.dtype == np.float32
    assert batch.lengths.tolist() == [DIMENSIONS] * len(TEXTS)
    assert server.requests == 1


def test_the_only_text_may_have_a_flat_answer(server: MisbehavingProvider) -> None:
    server.shape = "flat"
    batch = provider_of(server).embed(["one"])
    np.testing.assert_allclose(batch.vectors, vectors_of(["one"], DIMENSIONS), rtol=1e-6)


@pytest.mark.parametrize("shape", ["tokens", "unequal tokens", "wrapped tokens"])
def test_token_vectors_are_averaged_where_that_is_declared(server: MisbehavingProvider, shape: Shape) -> None:
    server.shape = shape
    count = 5 if shape == "tokens" else None
    expected = [token_vectors(text, DIMENSIONS, count).mean(axis=0) for text in TEXTS]
    batch = provider_of(server, pooling="mean").embed(TEXTS)
    np.testing.assert_allclose(batch.vectors, expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(ProviderRejectsUsError, match="pooling: mean"):
        provider_of(server).embed(TEXTS)


def test_declared_dimensions_are_sent_and_honoured(server: MisbehavingProvider) -> None:
    assert provider_of(server, dimensions=8).embed(TEXTS).vectors.shape == (len(TEXTS), 8)


def test_vectors_with_nan_are_passed_on_for_judgement(server: MisbehavingProvider) -> None:
    assert np.isnan(provider_of(server).embed([f"{GIVE_NAN} please", "fine"]).vectors[0, 0])


@pytest.mark.parametrize(
    ("manner", "words"),
    [("truncate", "no JSON"), ("html", "no JSON"), ("error in 200", "upstream failed"), ("fewer", "2 vectors came")],
)
def test_an_answer_that_cannot_be_matched_to_the_texts_is_dishonest(
    server: MisbehavingProvider, manner: Manner, words: str
) -> None:
    server.behave(manner)
    with pytest.raises(DishonestAnswerError, match=words):
        provider_of(server).embed(TEXTS)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_or_loading_provider_is_unavailable(server: MisbehavingProvider, status: int) -> None:
    server.behave("status", status=status, retry_after="7", message="Model is loading")
    with pytest.raises(ProviderUnavailableError, match=f"HTTP {status}: Model is loading") as caught:
        provider_of(server).embed(TEXTS)
    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_carries_the_words_of_the_provider(server: MisbehavingProvider, status: int) -> None:
    server.behave("status", status=status, message="this text is too long")
    with pytest.raises(ProviderRefusedError, match=f"^HTTP {status}: this text is too long"):
        provider_of(server).embed(TEXTS)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_token_model_or_address_is_told_by_the_tokens_variable(
    server: MisbehavingProvider, status: int
) -> None:
    server.behave("status", status=status)
    with pytest.raises(ProviderRejectsUsError, match="HF_TOKEN"):
        provider_of(server).embed(TEXTS)


@pytest.mark.parametrize("manner", ["reset", "cut"])
def test_a_broken_connection_means_unavailable(server: MisbehavingProvider, manner: Manner) -> None:
    server.behave(manner)
    with pytest.raises(ProviderUnavailableError, match="cannot be reached or broke off"):
        provider_of(server).embed(TEXTS)


@pytest.mark.parametrize("manner", ["hang", "drip", "drip headers"])
def test_a_request_ends_with_its_time_limit_even_if_bytes_keep_coming(
    server: MisbehavingProvider, manner: Manner
) -> None:
    server.behave(manner, seconds=10)
    with pytest.raises(ProviderUnavailableError, match=r"no whole answer in 0\.4 s") as caught:
        provider_of(server, timeout_seconds=0.4).embed(TEXTS)
    assert caught.value.too_slow


def test_a_text_without_utf8_form_is_refused_and_not_sent(server: MisbehavingProvider) -> None:
    with pytest.raises(ProviderRefusedError, match="surrogate"):
        provider_of(server).embed(["half a \ud83d face"])
    assert server.requests == 0


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_the_token_shows_nowhere_even_if_the_server_repeats_it(server: MisbehavingProvider, status: int) -> None:
    provider = provider_of(server)
    server.behave("echo key", status=status, message="x" * 440)
    with pytest.raises(ProviderError) as caught:
        provider.embed(TEXTS)
    error = caught.value
    shown = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error), repr(provider)]
    assert not [text for text in shown if TOKEN[:12] in text]
    assert error.__cause__ is None
    assert error.__context__ is None


def test_the_token_of_the_environment_goes_to_an_endpoint_only_if_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)  # where the client itself would look
    with MisbehavingProvider(DIMENSIONS, api_key=TOKEN) as server:
        block = {"type": "huggingface", "endpoint": server.features_url}
        unasked = EmbeddingSpec.model_validate({"provider": block, "model": "m"})
        with pytest.raises(ProviderRejectsUsError):
            choose_provider(unasked, EmbeddingSettings(), {"HF_TOKEN": TOKEN}).embed(TEXTS)
        asked = EmbeddingSpec.model_validate({"provider": block | {"api_key_variable": "HF_TOKEN"}, "model": "m"})
        assert len(choose_provider(asked, EmbeddingSettings(), {"HF_TOKEN": TOKEN}).embed(TEXTS).vectors) == 3


def test_a_time_limit_is_put_on_no_other_request_to_the_hub(server: MisbehavingProvider) -> None:
    from huggingface_hub import get_session  # noqa: PLC0415 - as other code of the process would use it

    provider_of(server, timeout_seconds=0.2).embed(TEXTS)
    server.behave("drip", 1, seconds=0.6)
    response = get_session().post(server.features_url, json={"inputs": ["a"]}, timeout=5)
    assert len(response.json()) == 1


def test_providers_of_the_same_model_endpoint_and_token_share_their_pace() -> None:
    def endpoint(url: str, token: str) -> str:
        return HuggingFaceProvider("m", url, token).endpoint

    assert endpoint("http://a", TOKEN) == endpoint("http://a", TOKEN)
    assert len({endpoint("http://a", TOKEN), endpoint("http://b", TOKEN), endpoint("http://a", "hf_other")}) == 3
    assert TOKEN not in endpoint("http://a", TOKEN)
