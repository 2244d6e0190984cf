"""A look at an embedding provider: what it gives, how it is asked, and what an index should declare differently.

It costs a handful of requests: one text twice, one text with a shorter length, and one request as large as declared,
of short texts. Nothing is repeated: what fails once is told.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vector_pipeline.core.embedding.choose import choose_provider
from vector_pipeline.core.embedding.honesty import VectorSpaceLength, judge
from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider, Examinable, Examination, limits_of
from vector_pipeline.core.errors import ConfigurationError, ProviderError, ProviderRefusedError
from vector_pipeline.core.findings import Finding, Verdict
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import EmbeddingSpec

TEXT = "How long does a driving licence last?"
# A model served in 8 bits or less gives a text vectors that differ by some 1e-4; another model's differ by far more.
_SAME = 0.9999
_LIMIT_HEADERS = ("x-ratelimit-", "ratelimit")


@dataclass(frozen=True)
class ProviderFindings:
    """What a look at one provider found. `indexes` are those that declare it; none for the environment's own.

    `latency_seconds` is that of a request with one text, the second one, so without connecting.
    """

    provider: str
    indexes: tuple[str, ...]
    dimensions: int | None
    latency_seconds: float | None
    findings: tuple[Finding, ...]


def look_at_provider(
    spec: EmbeddingSpec,
    settings: EmbeddingSettings,
    indexes: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> ProviderFindings:
    """Asks the provider that an index with this declaration has."""
    try:
        provider = choose_provider(spec, settings, environment)
    except ConfigurationError as error:
        wrong = Finding("configuration", Verdict.WRONG, str(error), "correct the declaration or the environment")
        return ProviderFindings("none", indexes, None, None, (wrong,))
    try:
        return replace(_ask(provider, spec, settings, environment), indexes=indexes)
    finally:
        provider.close()


def _ask(
    provider: EmbeddingProvider,
    spec: EmbeddingSpec,
    settings: EmbeddingSettings,
    environment: Mapping[str, str] | None,
) -> ProviderFindings:
    try:
        first = _examine(provider)
        started = time.monotonic()
        second = _examine(provider)
        latency = time.monotonic() - started
    except ProviderError as error:
        return ProviderFindings(provider.name, (), None, None, (_failed(error),))
    native = int(first.batch.lengths[0])
    findings = [
        _honesty(first.batch, spec),
        _sameness(first.batch, second.batch),
        _encoding(second),
        _dimensions(native, spec, settings, environment),
        _largest_request(provider),
        _limits(provider),
        _rate_limits(second.headers),
    ]
    return ProviderFindings(provider.name, (), native, latency, tuple(filter(None, findings)))


def _examine(provider: EmbeddingProvider) -> Examination:
    if isinstance(provider, Examinable):
        return provider.examine([TEXT])
    return Examination(provider.embed([TEXT]), "", frozenset(), {})


def _failed(error: ProviderError) -> Finding:
    remedy = "see docs/providers.md for the settings of this kind of server"
    if isinstance(error, ProviderRefusedError):
        remedy = "check the model's name and `dimensions`; " + remedy
    return Finding("one text", Verdict.WRONG, str(error), remedy)


def _honesty(batch: EmbeddedBatch, spec: EmbeddingSpec) -> Finding:
    length = int(batch.lengths[0])
    if spec.dimensions is not None and length != spec.dimensions:
        return Finding(
            "one text",
            Verdict.WRONG,
            f"{spec.dimensions} dimensions are declared, and a vector of {length} numbers came",
            f"declare embedding.dimensions: {length}, or leave it out",
        )
    if length == 0:
        return Finding("one text", Verdict.WRONG, "the vector is missing", "use another model")
    reasons = judge(batch, VectorSpaceLength(length, length)).reasons
    if reasons:
        return Finding("one text", Verdict.WRONG, f"the vector {reasons[0]}", "use another model, or mend its server")
    return Finding("one text", Verdict.OK, f"an honest vector of {length} numbers")


def _sameness(first: EmbeddedBatch, second: EmbeddedBatch) -> Finding | None:
    one, other = first.vectors[0].astype(np.float64), second.vectors[0].astype(np.float64)
    if one.shape != other.shape:
        return Finding(
            "the same text twice", Verdict.WRONG, "vectors of two lengths came", "see that one model answers"
        )
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    if not np.isfinite(lengths) or lengths == 0:
        return None
    if np.array_equal(one, other):
        return Finding("the same text twice", Verdict.OK, "the same vector")
    similarity = float(one @ other) / lengths
    if similarity >= _SAME:
        return Finding("the same text twice", Verdict.OK, f"nearly the same vector: cosine {similarity:.6f}")
    return Finding(
        "the same text twice",
        Verdict.WARNING,
        f"different vectors: cosine {similarity:.6f}",
        "see that one model answers, and not several behind one address; scores are off by as much",
    )


def _encoding(found: Examination) -> Finding | None:
    if not found.asked:
        return None
    if "list" not in found.written:
        return Finding("base64", Verdict.OK, "honoured")
    if found.asked == "float":
        return Finding("base64", Verdict.NOTE, "not used: lists of numbers are asked for, some four times the bytes")
    return Finding("base64", Verdict.NOTE, "asked for and ignored: lists of numbers come, some four times the bytes")


def _dimensions(
    native: int, spec: EmbeddingSpec, settings: EmbeddingSettings, environment: Mapping[str, str] | None
) -> Finding | None:
    """Whether a shorter vector can be had, for a provider that can be asked for one."""
    if spec.dimensions is not None:
        return Finding("dimensions", Verdict.OK, "honoured") if native == spec.dimensions else None
    shorter = max(1, native // 2)
    try:
        provider = choose_provider(spec.model_copy(update={"dimensions": shorter}), settings, environment)
    except ConfigurationError:
        return Finding("dimensions", Verdict.NOTE, f"{native} only")
    try:
        length = int(provider.embed([TEXT]).lengths[0])
    except ProviderError as error:
        return Finding("dimensions", Verdict.NOTE, f"not honoured, so leave them out ({error})")
    finally:
        provider.close()
    if length != shorter:
        return Finding("dimensions", Verdict.NOTE, "ignored, so leave them out")
    return Finding("dimensions", Verdict.NOTE, f"honoured: {shorter} asked for, {shorter} given")


def _largest_request(provider: EmbeddingProvider) -> Finding:
    size = provider.texts_per_request
    what = f"{size} texts in one request"
    try:
        vectors = provider.embed([str(number) for number in range(size)]).vectors
    except ProviderError as error:
        return Finding(
            what,
            Verdict.WARNING,
            f"not embedded: {error}",
            "lower embedding.provider.texts_per_request; until then each such request is halved until it fits",
        )
    return Finding(what, Verdict.OK, f"embedded ({len(vectors)} vectors)")


def _limits(provider: EmbeddingProvider) -> Finding:
    limits = limits_of(provider)
    return Finding(
        "limits as declared",
        Verdict.NOTE,
        f"{limits.texts_per_request:,} texts and {limits.tokens_per_request:,} tokens a request, "
        f"{limits.tokens_per_text:,} tokens a text, {limits.requests_in_flight} requests at once",
    )


def _rate_limits(headers: Mapping[str, str]) -> Finding | None:
    seen = {name: value for name, value in headers.items() if name.startswith(_LIMIT_HEADERS)}
    if not seen:
        return None
    return Finding("rate limits", Verdict.NOTE, ", ".join(f"{name}: {value}" for name, value in sorted(seen.items())))
