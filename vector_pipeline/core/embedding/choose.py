"""Which provider serves an index: its own provider block, else the environment's, else the local model.

The one place, beside `settings`, that looks into the environment: an index may name the variable of its own
key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from vector_pipeline.core.embedding.custom import CustomProvider
from vector_pipeline.core.embedding.hosts import checked_url
from vector_pipeline.core.embedding.local_model import LOCAL_DIMENSIONS, LOCAL_MODEL, LocalModelProvider
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import (
    CustomProviderSpec,
    EmbeddingSpec,
    HuggingFaceProviderSpec,
    LocalProviderSpec,
    OpenAIProviderSpec,
    ProviderSpec,
)

_DEFAULT_KEY_VARIABLE = "EMBEDDING_API_KEY"


@dataclass(frozen=True)
class ChosenModel:
    """Which model serves an index: `kind` is that of its provider, as the declaration writes it.

    `pooling` is how token vectors become one, None where there are none.
    """

    kind: str
    model: str
    pooling: str | None = None


def choose_model(spec: EmbeddingSpec, settings: EmbeddingSettings) -> ChosenModel:
    """The model of the provider that `choose_provider` gives, without making that provider.

    Raises:
        ConfigurationError: no host, no model, or a model or dimension that the local model is not.
    """
    block = provider_block(spec, settings)
    if isinstance(block, LocalProviderSpec):
        _refuse_what_is_not_local(spec)
        return ChosenModel(block.type, LOCAL_MODEL)
    if isinstance(block, HuggingFaceProviderSpec):
        return ChosenModel(block.type, _hub_model(spec), declared_pooling(block))
    if isinstance(block, CustomProviderSpec):
        return ChosenModel(block.type, spec.model or block.entry_point)
    return ChosenModel(block.type, _address(spec, block, settings)[1])


def choose_provider(
    spec: EmbeddingSpec, settings: EmbeddingSettings, environment: Mapping[str, str] | None = None
) -> EmbeddingProvider:
    """The provider that the index declares, or that the environment gives to an index which declares none.

    Args:
        environment: where an index's own key variable is looked up; `os.environ` if left out.

    Raises:
        ConfigurationError: no host, no model, an unusable host or key, a model or dimension that the local
            model is not, or a package that isn't installed. Nothing is asked of a server.
    """
    block = provider_block(spec, settings)
    variables = os.environ if environment is None else environment
    if isinstance(block, LocalProviderSpec):
        _refuse_what_is_not_local(spec)
        return LocalModelProvider(texts_per_request=block.texts_per_request)
    if isinstance(block, HuggingFaceProviderSpec):
        return _huggingface(spec, block, variables)
    if isinstance(block, CustomProviderSpec):
        return CustomProvider(
            block.entry_point,
            spec.model or block.entry_point,
            dimensions=spec.dimensions,
            options=block.options,
            environment=variables,
            texts_per_request=block.texts_per_request,
            requests_in_flight=block.requests_in_flight,
        )
    return _openai_compatible(spec, block, settings, variables)


def provider_block(spec: EmbeddingSpec, settings: EmbeddingSettings) -> ProviderSpec:
    """The provider as declared, or as the environment has it."""
    if spec.provider is not None:
        return spec.provider
    return OpenAIProviderSpec() if settings.host else LocalProviderSpec()


def declared_pooling(block: ProviderSpec | None) -> str | None:
    """How token vectors become one, None where they are refused or there are none."""
    return block.pooling if isinstance(block, HuggingFaceProviderSpec) and block.pooling != "refuse" else None


def _hub_model(spec: EmbeddingSpec) -> str:
    if not spec.model:
        raise ConfigurationError(
            "no model is named for Hugging Face; set embedding.model to its name on the hub, as in intfloat/e5-small-v2"
        )
    return spec.model


def _huggingface(
    spec: EmbeddingSpec, block: HuggingFaceProviderSpec, environment: Mapping[str, str]
) -> EmbeddingProvider:
    model = _hub_model(spec)
    # As with the environment's own key: HF_TOKEN goes to no other host than the hub unasked.
    asked = block.endpoint is None or "api_key_variable" in block.model_fields_set
    token = environment.get(block.api_key_variable) if asked else None
    try:
        from vector_pipeline.core.embedding.huggingface import HuggingFaceProvider  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            f"huggingface_hub is not installed ({error}): pip install 'vector-pipeline[huggingface]'"
        ) from None
    return HuggingFaceProvider(
        model,
        checked_url(block.endpoint, "embedding.provider.endpoint") if block.endpoint else None,
        token,
        token_variable=block.api_key_variable,
        dimensions=spec.dimensions,
        pooling=block.pooling,
        texts_per_request=block.texts_per_request,
        requests_in_flight=block.requests_in_flight,
        timeout_seconds=block.timeout_seconds,
    )


def _refuse_what_is_not_local(spec: EmbeddingSpec) -> None:
    remedy = "leave it out, or name a server: embedding.provider.host or EMBEDDING_MODEL_HOST"
    if spec.model not in (None, LOCAL_MODEL):
        raise ConfigurationError(
            f"embedding.model is {spec.model!r}, but the local provider has {LOCAL_MODEL!r} only; {remedy}"
        )
    if spec.dimensions not in (None, LOCAL_DIMENSIONS):
        raise ConfigurationError(
            f"embedding.dimensions is {spec.dimensions}, but the local model has {LOCAL_DIMENSIONS}; {remedy}"
        )


def _address(spec: EmbeddingSpec, block: OpenAIProviderSpec, settings: EmbeddingSettings) -> tuple[str, str]:
    """Host and model."""
    host = block.host or settings.host
    if not host:
        raise ConfigurationError(
            "the index asks for an OpenAI-compatible provider but names no host; "
            "set EMBEDDING_MODEL_HOST or embedding.provider.host"
        )
    model = spec.model or settings.model
    if not model:
        raise ConfigurationError(
            f"no model is named for the provider at {host}; set EMBEDDING_MODEL_NAME or embedding.model"
        )
    return host, model


def _key(block: OpenAIProviderSpec, settings: EmbeddingSettings, environment: Mapping[str, str]) -> str | None:
    """The key of the variable that the index names. The environment's own key goes to no other host unasked."""
    if "api_key_variable" in block.model_fields_set and block.api_key_variable != _DEFAULT_KEY_VARIABLE:
        return environment.get(block.api_key_variable)
    unasked = "api_key_variable" not in block.model_fields_set
    if unasked and block.host is not None and block.host != settings.host:
        return None
    return settings.api_key or environment.get(_DEFAULT_KEY_VARIABLE)


def _openai_compatible(
    spec: EmbeddingSpec,
    block: OpenAIProviderSpec,
    settings: EmbeddingSettings,
    environment: Mapping[str, str],
) -> EmbeddingProvider:
    host, model = _address(spec, block, settings)
    key = _key(block, settings, environment)
    # Here and not above, so that an index with the local model does not load the openai package.
    from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415

    return OpenAICompatibleProvider(
        host,
        model,
        key,
        api_key_variable=block.api_key_variable,
        dimensions=spec.dimensions,
        texts_per_request=block.texts_per_request,
        tokens_per_request=block.tokens_per_request,
        tokens_per_text=block.tokens_per_text,
        requests_in_flight=block.requests_in_flight,
        timeout_seconds=block.timeout_seconds,
        encoding=block.encoding,
        dimensions_field=block.dimensions_field,
        missing_index=block.missing_index,
    )
