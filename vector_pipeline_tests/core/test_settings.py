"""What the environment says, as settings: TLS to MySQL, secrets in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.settings import (
    QueryCacheSettings,
    TLSMode,
    read_secrets,
    read_settings,
    read_target,
    read_tls,
)

NEEDED = {
    "DB_HOST": "db",
    "DB_USER": "reader",
    "DB_NAME": "shop",
    "PG_HOST": "pg",
    "PG_USER": "writer",
    "PGVECTOR_DB_NAME": "vectors",
}


def test_tls_is_preferred_where_nothing_is_said() -> None:
    assert read_settings(NEEDED).source.tls.mode is TLSMode.PREFERRED


def test_the_mode_and_the_files_are_read_from_the_environment() -> None:
    files = {"DB_SSL_CA": "ca.pem", "DB_SSL_CERT": "cert.pem", "DB_SSL_KEY": "key.pem"}
    tls = read_settings(NEEDED | files | {"DB_SSL_MODE": "VERIFY_IDENTITY"}).source.tls
    assert (tls.mode, tls.ca, tls.cert, tls.key) == (TLSMode.VERIFY_IDENTITY, "ca.pem", "cert.pem", "key.pem")


def test_an_authority_alone_is_verified() -> None:
    assert read_tls(None, "ca.pem", None, None).mode is TLSMode.VERIFY_CA


def test_a_certificate_alone_asks_for_tls() -> None:
    assert read_tls(None, None, "cert.pem", "key.pem").mode is TLSMode.REQUIRED


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        (("always", None, None, None), "DB_SSL_MODE is 'always': give one of disabled, preferred"),
        (("required", "ca.pem", None, None), "DB_SSL_CA is set, and DB_SSL_MODE=required verifies nothing"),
        (("preferred", None, "cert.pem", "key.pem"), "DB_SSL_CERT or DB_SSL_KEY is set, and DB_SSL_MODE=preferred"),
        (("required", None, None, "key.pem"), "DB_SSL_KEY is set without DB_SSL_CERT"),
    ],
    ids=["unknown mode", "unused authority", "unused certificate", "key without certificate"],
)
def test_what_would_be_passed_over_is_refused_by_its_name(variables: tuple[str | None, ...], named: str) -> None:
    mode, ca, cert, key = variables
    with pytest.raises(ConfigurationError) as refused:
        read_tls(mode, ca, cert, key)
    assert named in str(refused.value)


def test_how_many_vectors_of_queries_are_kept_and_for_how_long_is_read_from_the_environment() -> None:
    assert read_settings(NEEDED).query_cache == QueryCacheSettings(1000, 3600.0)
    asked = {"QUERY_CACHE_SIZE": "0", "QUERY_CACHE_SECONDS": "60"}
    assert read_settings(NEEDED | asked).query_cache == QueryCacheSettings(0, 60.0)


@pytest.mark.parametrize("name", ["QUERY_CACHE_SIZE", "QUERY_CACHE_SECONDS"])
def test_an_unusable_bound_of_kept_queries_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is '-1'"):
        read_settings(NEEDED | {name: "-1"})


def test_passwords_and_keys_may_stand_in_files(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("DB_PASSWORD", "PG_PASSWORD", "EMBEDDING_API_KEY")}
    for name, path in files.items():
        path.write_text(f"secret of {name} \n")
    told = NEEDED | {f"{name}_FILE": str(path) for name, path in files.items()}
    settings = read_settings(told)
    assert settings.source.password == "secret of DB_PASSWORD "
    assert settings.target.password == "secret of PG_PASSWORD "
    assert settings.embedding.api_key == "secret of EMBEDDING_API_KEY "
    assert read_target(told) == settings.target


def test_a_key_that_an_index_names_may_stand_in_a_file_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1")
    told = {"COHERE_API_KEY_FILE": str(tmp_path / "key"), "SSL_CERT_FILE": "/no/such", "PG_PASSWORD_FILE": ""}
    assert read_secrets(told) == {"COHERE_API_KEY": "sk-1"}


def test_a_variable_wins_over_its_file() -> None:
    assert read_settings(NEEDED | {"PG_PASSWORD": "set", "PG_PASSWORD_FILE": "/no/such"}).target.password == "set"


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file or directory"), (b"\xff\xfe", "it is not UTF-8")], ids=str
)
def test_a_file_that_cannot_be_read_is_named_with_what_to_do(
    content: bytes | None, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        read_settings(NEEDED | {"DB_PASSWORD_FILE": str(file)})
    assert str(refused.value) == (
        f"DB_PASSWORD_FILE names {file}, which can't be read: {problem}; name a file that this user may read, or set "
        "DB_PASSWORD itself"
    )
