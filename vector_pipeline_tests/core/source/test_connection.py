"""TLS to MySQL as DB_SSL_MODE says, and what is told where it can't be had.

Oracle MySQL makes certificates for itself, under an authority of its own and without a host name; MariaDB 10.11 has no
TLS until it is given some.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from vector_pipeline.core.errors import ConfigurationError, SourceUnavailableError
from vector_pipeline.core.settings import SourceSettings, TLSMode, TLSSettings
from vector_pipeline.core.source.connection import connect
from vector_pipeline_tests.certificates import Authority
from vector_pipeline_tests.mariadb_server import ServerTLS, further_mariadb
from vector_pipeline_tests.servers import mysql_administrator


def cipher(settings: SourceSettings, tls: TLSSettings) -> str:
    """By what a session is encrypted, as the server sees it; empty if it isn't."""
    with closing(connect(replace(settings, tls=tls))) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        row = cursor.fetchone()
    assert row is not None
    return str(row[1])


def refusal(settings: SourceSettings, tls: TLSSettings) -> str:
    with pytest.raises(SourceUnavailableError) as refused:
        connect(replace(settings, tls=tls))
    return str(refused.value)


@pytest.fixture
def oracles_authority(oracle_mysql: SourceSettings) -> str:
    with mysql_administrator(oracle_mysql) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@datadir")
        row = cursor.fetchone()
    assert row is not None
    return str(Path(row[0]) / "ca.pem")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def mariadb_with_tls(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceSettings]:
    """A MariaDB with a certificate for 127.0.0.1."""
    files = authority.sign("server", "127.0.0.1")
    tls = ServerTLS(authority.ca, files.cert, files.key)
    with further_mariadb(tmp_path_factory.mktemp("servers") / "with-tls", tls=tls) as server:
        yield server


def test_preferred_encrypts_where_the_server_offers_it(oracle_mysql: SourceSettings) -> None:
    assert cipher(oracle_mysql, TLSSettings()) != ""


def test_preferred_goes_on_without_where_the_server_has_none(mariadb: SourceSettings) -> None:
    assert cipher(mariadb, TLSSettings()) == ""


def test_disabled_does_without_though_the_server_offers_it(oracle_mysql: SourceSettings) -> None:
    assert cipher(oracle_mysql, TLSSettings(TLSMode.DISABLED)) == ""


def test_required_encrypts_without_verifying(oracle_mysql: SourceSettings) -> None:
    assert cipher(oracle_mysql, TLSSettings(TLSMode.REQUIRED)) != ""


@pytest.mark.parametrize("mode", [TLSMode.REQUIRED, TLSMode.VERIFY_CA, TLSMode.VERIFY_IDENTITY])
def test_a_server_without_tls_is_refused_and_the_variable_named(mariadb: SourceSettings, mode: TLSMode) -> None:
    said = refusal(mariadb, TLSSettings(mode))
    assert f"it offers no TLS, and DB_SSL_MODE is {mode.value}" in said
    assert f"{mariadb.host}:{mariadb.port}" in said
    assert mariadb.password not in said


def test_verify_ca_takes_a_certificate_of_the_named_authority(
    oracle_mysql: SourceSettings, oracles_authority: str
) -> None:
    assert cipher(oracle_mysql, TLSSettings(TLSMode.VERIFY_CA, oracles_authority)) != ""


@pytest.mark.parametrize("mode", [TLSMode.VERIFY_CA, TLSMode.VERIFY_IDENTITY])
def test_a_certificate_of_another_authority_is_refused(
    oracle_mysql: SourceSettings, authority: Authority, mode: TLSMode
) -> None:
    said = refusal(oracle_mysql, TLSSettings(mode, authority.ca))
    assert f"can't be verified by DB_SSL_CA ({authority.ca})" in said


def test_without_an_authority_the_systems_own_are_asked(oracle_mysql: SourceSettings) -> None:
    said = refusal(oracle_mysql, TLSSettings(TLSMode.VERIFY_CA))
    assert "can't be verified by the system's authorities" in said
    assert "set DB_SSL_CA" in said


def test_verify_identity_refuses_a_certificate_for_another_host(
    oracle_mysql: SourceSettings, oracles_authority: str
) -> None:
    said = refusal(oracle_mysql, TLSSettings(TLSMode.VERIFY_IDENTITY, oracles_authority))
    assert "its certificate is for another host" in said
    assert "DB_HOST" in said


def test_verify_identity_takes_a_certificate_for_this_host(
    mariadb_with_tls: SourceSettings, authority: Authority
) -> None:
    assert cipher(mariadb_with_tls, TLSSettings(TLSMode.VERIFY_IDENTITY, authority.ca)) != ""


def test_our_own_certificate_is_shown_to_a_server_that_asks_for_it(
    mariadb_with_tls: SourceSettings, authority: Authority
) -> None:
    with mysql_administrator(mariadb_with_tls) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER careful@'127.0.0.1' IDENTIFIED BY 'p' REQUIRE X509")
    careful = replace(mariadb_with_tls, user="careful", password="p", database="information_schema")
    ours = authority.sign("client", "127.0.0.1")
    assert "Access denied" in refusal(careful, TLSSettings(TLSMode.REQUIRED))
    assert cipher(careful, TLSSettings(TLSMode.REQUIRED, None, ours.cert, ours.key)) != ""


@pytest.mark.parametrize("content", [None, "not a certificate"], ids=["missing", "no certificate"])
def test_an_unusable_file_is_named_with_its_variable(
    mariadb: SourceSettings, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "some.pem"
    if content is not None:
        file.write_text(content)
    for variable, tls in (
        ("DB_SSL_CA", TLSSettings(TLSMode.VERIFY_CA, str(file))),
        ("DB_SSL_CERT", TLSSettings(TLSMode.REQUIRED, None, str(file))),
    ):
        with pytest.raises(ConfigurationError, match=f"{variable}.*some.pem.*, which can't be used"):
            connect(replace(mariadb, tls=tls))
