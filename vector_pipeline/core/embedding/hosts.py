"""Addresses of embedding servers, as people write them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from vector_pipeline.core.errors import ConfigurationError


def normalise_host(host: str) -> str:
    """The base URL that `host` means.

    A host without scheme gets `http://`; a URL without path gets `/v1`, where nearly every server speaks the
    protocol; a URL that has a path is taken as it is, less a final `/embeddings` or slash.

    Raises:
        ConfigurationError: it is no http(s) URL, or has a query or a user and password.
    """
    url = _split(host, "http://127.0.0.1:8080/v1", "EMBEDDING_MODEL_HOST or embedding.provider.host")
    path = url.path.rstrip("/").removesuffix("/embeddings").rstrip("/") or "/v1"
    return f"{url.scheme}://{url.netloc}{path}"


def checked_url(text: str, field: str) -> str:
    """A URL that is taken as it is, with `http://` where it has no scheme.

    Raises:
        ConfigurationError: as `normalise_host`, naming the field of the declaration.
    """
    url = _split(text, "https://abc.endpoints.huggingface.cloud", field)
    return f"{url.scheme}://{url.netloc}{url.path}"


def _split(host: str, example: str, where: str) -> SplitResult:
    text = host.strip()
    problem = None
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        url.port  # noqa: B018 - raises ValueError for a port that is no number
    except ValueError:
        problem = "is not a URL"
    else:
        if url.username is not None or url.password is not None:
            problem = "has a user or a password in it"
        elif url.scheme not in ("http", "https") or not url.hostname:
            problem = f"{text!r} is not an http(s) URL"
        elif url.query or url.fragment:
            problem = "has something after ? or # in it"
    if problem:
        raise ConfigurationError(
            f"the embedding provider's host {problem}; give its base URL alone, as in {example} ({where})"
        )
    return url
