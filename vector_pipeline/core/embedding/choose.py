"""Which provider serves an index: its own provider block, else the environment's, else the local model.

The one place, beside `settings`, that looks into the environment: an index may name the variable of its own
key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from vector_pipeline.core.embedding.local_model import LOCAL_DIMENSIONS, LOCAL_MODEL, LocalModelProvider
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import EmbeddingSpec, LocalProviderSpec, OpenAIProviderSpec

_DEFAULT_KEY_VARIABLE = "EMBEDDING_API_KEY"


@dataclass(frozen=True)
class ChosenModel:
    """Which model serves an index: `kind` is that of its provider, `local` or `openai`."""

    kind: str
    model: str


def choose_model(spec: EmbeddingSpec, settings: EmbeddingSettings) -> ChosenModel:
    """The model of the provider that `choose_provider` gives, without making that provider.

    Raises:
        ConfigurationError: no host, no model, or a model or dimension that the local model is not.
    """
    block = _block(spec, settings)
    if isinstance(block, LocalProviderSpec):
        _refuse_what_is_not_local(spec)
        return ChosenModel("local", LOCAL_MODEL)
    return ChosenModel("openai", _address(spec, block, settings)[1])


def choose_provider(
    spec: EmbeddingSpec, settings: EmbeddingSettings, environment: Mapping[str, str] | None = None
) -> EmbeddingProvider:
    """The provider that the index declares, or that the environment gives to an index which declares none.

    Args:
        environment: where an index's own key variable is looked up; `os.environ` if left out.

    Raises:
        ConfigurationError: no host, no model, an unusable host or key, or a model or dimension that the local
            model is not. Nothing is asked of a server.
    """
    block = _block(spec, settings)
    if isinstance(block, LocalProviderSpec):
        _refuse_what_is_not_local(spec)
        return LocalModelProvider(texts_per_request=block.texts_per_request)
    return _openai_compatible(spec, block, settings, os.environ if environment is None else environment)


def _block(spec: EmbeddingSpec, settings: EmbeddingSettings) -> OpenAIProviderSpec | LocalProviderSpec:
    if spec.provider is not None:
        return spec.provider
    return OpenAIProviderSpec() if settings.host else LocalProviderSpec()


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
        requests_in_flight=block.requests_in_flight,
        timeout_seconds=block.timeout_seconds,
        encoding=block.encoding,
        dimensions_field=block.dimensions_field,
        missing_index=block.missing_index,
    )
