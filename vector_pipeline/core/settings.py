"""The environment, as values. The only module of the core that reads environment variables.

Secrets never show: they are left out of every `repr`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from vector_pipeline.core.errors import ConfigurationError

DEFAULT_SIMILARITY_THRESHOLD = 0.7
_TARGET_VARIABLES = ("PG_HOST", "PG_USER", "PGVECTOR_DB_NAME")
_SECRETS = (
    "DB_PASSWORD",
    "PG_PASSWORD",
    "HF_TOKEN",
    "VECTOR_PIPELINE_BROKER_URL",
    "VECTOR_PIPELINE_SLACK_WEBHOOK",
    "VECTOR_PIPELINE_SLACK_TOKEN",
    "VECTOR_PIPELINE_SMTP_PASSWORD",
)
_SECRET_ENDING = "_API_KEY"
_FILE_ENDING = "_FILE"


class TLSMode(Enum):
    """How the source is reached, in the words of MySQL's own client. `PREFERRED` verifies nothing, as `REQUIRED`."""

    DISABLED = "disabled"
    PREFERRED = "preferred"
    REQUIRED = "required"
    VERIFY_CA = "verify_ca"
    VERIFY_IDENTITY = "verify_identity"

    @property
    def verifies(self) -> bool:
        return self in {TLSMode.VERIFY_CA, TLSMode.VERIFY_IDENTITY}

    @property
    def insists(self) -> bool:
        """Whether there is no connection without TLS."""
        return self.verifies or self is TLSMode.REQUIRED


@dataclass(frozen=True)
class TLSSettings:
    """TLS to the source; the files are PEM. `ca` None means the system's authorities."""

    mode: TLSMode = TLSMode.PREFERRED
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class SourceSettings:
    """Where the MySQL source is."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    tls: TLSSettings = TLSSettings()


@dataclass(frozen=True)
class TargetSettings:
    """Where the PostgreSQL target with pgvector is. `host` may be several with commas between them, as libpq takes
    them.

    `pooled`: by way of a pooler that shares sessions, which is for searches alone.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    pooled: bool = False


@dataclass(frozen=True)
class EmbeddingSettings:
    """The environment's embedding provider. `host` None means the local model.

    `expected_dimensions`, if larger than the model's, asks for zero-padding to it.
    """

    host: str | None = None
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    expected_dimensions: int | None = None


@dataclass(frozen=True)
class QueryCacheSettings:
    """How many vectors of queries are kept, 0 for none, and for how many seconds."""

    size: int = 1000
    seconds: float = 3600.0


@dataclass(frozen=True)
class Settings:
    """All that the environment says."""

    source: SourceSettings
    target: TargetSettings
    embedding: EmbeddingSettings
    similarity_threshold: float = DEFAULT_SIMILARITY_THRESHOLD
    query_cache: QueryCacheSettings = QueryCacheSettings()


def read_secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The secrets that stand in files: `DB_PASSWORD_FILE` names the one that holds DB_PASSWORD.

    It goes for passwords and tokens (`_SECRETS`) and whatever ends in _API_KEY. A variable that is set itself wins
    over its file. The line end that editors leave is no part of a secret.

    Returns:
        The variables to add; the environment itself is left as it is.

    Raises:
        ConfigurationError: naming the file that can't be read.
    """
    variables = os.environ if environment is None else environment
    named = {name.removesuffix(_FILE_ENDING): name for name in variables if name.endswith(_FILE_ENDING)}
    return {
        secret: _read_secret(name, variables[name])
        for secret, name in named.items()
        if (secret in _SECRETS or secret.endswith(_SECRET_ENDING)) and variables[name] and not variables.get(secret)
    }


def _read_secret(name: str, file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except OSError as error:
        problem = error.strerror or str(error)
    raise ConfigurationError(
        f"{name} names {file}, which can't be read: {problem}; name a file that this user may read, or set "
        f"{name.removesuffix(_FILE_ENDING)} itself"
    )


def _with_secrets(environment: Mapping[str, str] | None) -> Mapping[str, str]:
    variables = os.environ if environment is None else environment
    return {**variables, **read_secrets(variables)}


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Reads the variables that `.env.example` documents.

    Raises:
        ConfigurationError: naming every variable that is missing, or the one that is unusable.
    """
    variables = _with_secrets(environment)
    missing = [name for name in ("DB_HOST", "DB_USER", "DB_NAME", *_TARGET_VARIABLES) if not variables.get(name)]
    target = read_target(variables)
    if missing or target is None:
        raise ConfigurationError(
            f"not set: {', '.join(missing)}; set them in the environment or in .env (see .env.example), "
            "or start the embedded stack: vector-pipeline stack up"
        )
    return Settings(
        source=SourceSettings(
            host=variables["DB_HOST"],
            port=_whole_number(variables, "DB_PORT") or 3306,
            user=variables["DB_USER"],
            password=variables.get("DB_PASSWORD", ""),
            database=variables["DB_NAME"],
            tls=read_tls(*(variables.get(f"DB_SSL_{name}") for name in ("MODE", "CA", "CERT", "KEY"))),
        ),
        target=target,
        embedding=read_embedding(variables),
        similarity_threshold=read_threshold(variables.get("SIMILARITY_THRESHOLD")),
        query_cache=read_query_cache(variables),
    )


def read_target(environment: Mapping[str, str] | None = None) -> TargetSettings | None:
    """Where the target is; None where a variable that says so is missing.

    Raises:
        ConfigurationError: PG_PORT or PG_PASSWORD_FILE is unusable.
    """
    variables = _with_secrets(environment)
    if not all(variables.get(name) for name in _TARGET_VARIABLES):
        return None
    return TargetSettings(
        host=variables["PG_HOST"],
        port=_whole_number(variables, "PG_PORT") or 5432,
        user=variables["PG_USER"],
        password=variables.get("PG_PASSWORD", ""),
        database=variables["PGVECTOR_DB_NAME"],
    )


def read_search_target(target: TargetSettings, environment: Mapping[str, str] | None = None) -> TargetSettings:
    """Where searches of the service go: to the target itself, or by way of a pooler, or to a standby.

    Raises:
        ConfigurationError: PG_SEARCH_PORT is unusable.
    """
    variables = os.environ if environment is None else environment
    host, port = variables.get("PG_SEARCH_HOST"), _whole_number(variables, "PG_SEARCH_PORT")
    if not host and port is None:
        return target
    return replace(target, host=host or target.host, port=port or target.port, pooled=True)


def read_embedding_host(environment: Mapping[str, str] | None = None) -> str | None:
    """EMBEDDING_MODEL_HOST, None if unset."""
    return (os.environ if environment is None else environment).get("EMBEDDING_MODEL_HOST") or None


def read_embedding(variables: Mapping[str, str]) -> EmbeddingSettings:
    """The variables EMBEDDING_*.

    Raises:
        ConfigurationError: naming the one that is unusable.
    """
    return EmbeddingSettings(
        host=read_embedding_host(variables),
        api_key=variables.get("EMBEDDING_API_KEY") or None,
        model=variables.get("EMBEDDING_MODEL_NAME") or None,
        expected_dimensions=_whole_number(variables, "EMBEDDING_EXPECTED_DIM"),
    )


def read_threshold(text: str | None) -> float:
    """SIMILARITY_THRESHOLD as a number, DEFAULT_SIMILARITY_THRESHOLD if unset."""
    if not text:
        return DEFAULT_SIMILARITY_THRESHOLD
    try:
        threshold = float(text)
    except ValueError:
        threshold = float("nan")
    if not -1 <= threshold <= 1:
        raise ConfigurationError(f"SIMILARITY_THRESHOLD is {text!r}: give a number from -1 to 1")
    return threshold


def read_query_cache(variables: Mapping[str, str]) -> QueryCacheSettings:
    """The variables QUERY_CACHE_*.

    Raises:
        ConfigurationError: naming the one that is unusable.
    """
    usual = QueryCacheSettings()
    size, seconds = variables.get("QUERY_CACHE_SIZE"), variables.get("QUERY_CACHE_SECONDS")
    if size and not size.isdecimal():
        raise ConfigurationError(f"QUERY_CACHE_SIZE is {size!r}: give a whole number, 0 to keep no query's vector")
    if seconds and not seconds.isdecimal():
        raise ConfigurationError(f"QUERY_CACHE_SECONDS is {seconds!r}: give a whole number of seconds")
    return QueryCacheSettings(int(size) if size else usual.size, float(seconds) if seconds else usual.seconds)


def read_tls(mode: str | None, ca: str | None, cert: str | None, key: str | None) -> TLSSettings:
    """DB_SSL_MODE, DB_SSL_CA, DB_SSL_CERT and DB_SSL_KEY as settings.

    An authority alone means `verify_ca`, as with MySQL's own client, and a certificate of ours alone `required`: what
    somebody has set is never passed over in silence.

    Raises:
        ConfigurationError: naming the variable that is unusable, or unused by the mode.
    """
    if not mode:
        chosen = TLSMode.VERIFY_CA if ca else TLSMode.REQUIRED if cert or key else TLSMode.PREFERRED
    else:
        modes = {known.value: known for known in TLSMode}
        name = mode.strip().lower().replace("-", "_")
        if name not in modes:
            raise ConfigurationError(f"DB_SSL_MODE is {mode!r}: give one of {', '.join(modes)}")
        chosen = modes[name]
    if ca and not chosen.verifies:
        raise ConfigurationError(
            f"DB_SSL_CA is set, and DB_SSL_MODE={chosen.value} verifies nothing: set DB_SSL_MODE to verify_ca or "
            "verify_identity, or unset DB_SSL_CA"
        )
    if (cert or key) and not chosen.insists:
        raise ConfigurationError(
            f"DB_SSL_CERT or DB_SSL_KEY is set, and DB_SSL_MODE={chosen.value} does without TLS: set DB_SSL_MODE to "
            "required, verify_ca or verify_identity, or unset them"
        )
    if key and not cert:
        raise ConfigurationError("DB_SSL_KEY is set without DB_SSL_CERT: set both, or neither")
    return TLSSettings(chosen, ca or None, cert or None, key or None)


def _whole_number(variables: Mapping[str, str], name: str) -> int | None:
    text = variables.get(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ConfigurationError(f"{name} is {text!r}: give a whole number above 0")
    return int(text)
