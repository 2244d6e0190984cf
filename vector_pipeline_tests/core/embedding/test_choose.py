"""Which provider serves an index."""

from __future__ import annotations

import pytest

from vector_pipeline.core.embedding.choose import choose_provider
from vector_pipeline.core.embedding.local_model import LocalModelProvider
from vector_pipeline.core.errors import ConfigurationError, ProviderRejectsUsError
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import EmbeddingSpec, LocalProviderSpec, OpenAIProviderSpec
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider

NOWHERE = EmbeddingSettings()
REMOTE = EmbeddingSettings(host="embeddings.example", model="theirs")


def test_without_a_host_the_local_model_serves() -> None:
    assert isinstance(choose_provider(EmbeddingSpec(), NOWHERE, {}), LocalModelProvider)


def test_the_model_of_the_environment_belongs_to_its_host_and_is_not_asked_of_the_local_model() -> None:
    provider = choose_provider(EmbeddingSpec(), EmbeddingSettings(model="theirs"), {})
    assert isinstance(provider, LocalModelProvider)


def test_with_a_host_the_environment_names_server_and_model() -> None:
    provider = choose_provider(EmbeddingSpec(), REMOTE, {})
    assert provider.name == "openai:theirs"
    assert "http://embeddings.example/v1" in repr(provider)


def test_an_index_may_name_its_own_server_and_model() -> None:
    block = OpenAIProviderSpec(host="https://own.example/api", texts_per_request=7, requests_in_flight=3)
    provider = choose_provider(EmbeddingSpec(provider=block, model="own"), REMOTE, {})
    assert provider.name == "openai:own"
    assert "https://own.example/api" in repr(provider)
    assert (provider.texts_per_request, provider.requests_in_flight) == (7, 3)


def test_an_index_may_have_the_local_model_beside_a_server() -> None:
    spec = EmbeddingSpec(provider=LocalProviderSpec(texts_per_request=16))
    provider = choose_provider(spec, REMOTE, {})
    assert isinstance(provider, LocalModelProvider)
    assert (provider.texts_per_request, provider.requests_in_flight) == (16, 1)


@pytest.mark.parametrize(
    ("spec", "settings", "words"),
    [
        (EmbeddingSpec(), EmbeddingSettings(host="h"), r"EMBEDDING_MODEL_NAME or embedding\.model"),
        (EmbeddingSpec(provider=OpenAIProviderSpec()), NOWHERE, "EMBEDDING_MODEL_HOST"),
        (EmbeddingSpec(model="bge-m3"), NOWHERE, r"embedding\.model is 'bge-m3'"),
        (EmbeddingSpec(dimensions=1024), NOWHERE, r"embedding\.dimensions is 1024.*512"),
    ],
)
def test_what_is_missing_or_cannot_be_is_told_with_the_remedy(
    spec: EmbeddingSpec, settings: EmbeddingSettings, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        choose_provider(spec, settings, {})


def test_the_key_comes_from_the_variable_that_the_index_names() -> None:
    with MisbehavingProvider(dimensions=3, api_key="right") as server:
        block = OpenAIProviderSpec(host=server.url, api_key_variable="OWN_KEY")
        spec = EmbeddingSpec(provider=block, model="m")
        settings = EmbeddingSettings(api_key="wrong")
        assert len(choose_provider(spec, settings, {"OWN_KEY": "right"}).embed(["a"]).vectors) == 1
        with pytest.raises(ProviderRejectsUsError, match="key in OWN_KEY"):
            choose_provider(spec, settings, {}).embed(["a"])


def test_the_key_of_the_settings_serves_where_no_variable_is_named() -> None:
    with MisbehavingProvider(dimensions=3, api_key="right") as server:
        settings = EmbeddingSettings(host=server.url, api_key="right", model="m")
        assert len(choose_provider(EmbeddingSpec(), settings, {}).embed(["a"]).vectors) == 1


def test_the_environments_key_is_not_sent_to_a_host_that_an_index_names_for_itself() -> None:
    with MisbehavingProvider(dimensions=3, api_key="right") as server:
        settings = EmbeddingSettings(host="http://elsewhere.internal", api_key="right", model="m")
        unasked = EmbeddingSpec(provider=OpenAIProviderSpec(host=server.url))
        with pytest.raises(ProviderRejectsUsError):
            choose_provider(unasked, settings, {"EMBEDDING_API_KEY": "right"}).embed(["a"])
        asked = EmbeddingSpec(provider=OpenAIProviderSpec(host=server.url, api_key_variable="EMBEDDING_API_KEY"))
        assert len(choose_provider(asked, settings, {}).embed(["a"]).vectors) == 1
