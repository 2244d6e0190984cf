"""TLS to MySQL: the five modes of MySQL's own client, and what is wrong where a connection fails by them."""

from __future__ import annotations

import functools
import ssl
from typing import TYPE_CHECKING, Any

import pymysql
import pymysql.cursors
from pymysql.constants import CR

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.settings import SourceSettings, TLSMode, TLSSettings

if TYPE_CHECKING:
    _Connection = pymysql.connections.Connection[pymysql.cursors.Cursor]  # generic in the stubs alone
else:
    _Connection = pymysql.connections.Connection

# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL.
_ANOTHER_NAME = frozenset({62, 64})


def session_class(tls: TLSSettings) -> type[_Connection]:
    """The kind of session that `tls_arguments` are for."""
    return PreferringConnection if tls.mode is TLSMode.PREFERRED else _Connection


class PreferringConnection(_Connection):
    """A session with TLS where the server offers it, without verification: the driver's own way, made cheaper.

    The driver reads the system's authorities for each such session and then uses none of them: 25 ms of CPU time
    (measured) of the 26 that a connection takes.
    """

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> ssl.SSLContext:  # noqa: ARG002 - the driver's own method
        return _unverified()


@functools.cache
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def tls_arguments(tls: TLSSettings) -> dict[str, Any]:
    """What `pymysql.connect` takes for it.

    Raises:
        ConfigurationError: naming the variable whose file can't be used.
    """
    if tls.mode is TLSMode.DISABLED:
        return {"ssl_disabled": True}
    if tls.mode is TLSMode.PREFERRED:
        return {}  # the driver's own way: TLS where the server offers it, without verification
    return {"ssl": _context(tls)}


def _context(tls: TLSSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except OSError as error:
        raise _unusable("DB_SSL_CA", tls.ca, error) from None
    # The certificates that MySQL makes for itself lack what Python 3.13 asks for beyond the signature.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = tls.mode is TLSMode.VERIFY_IDENTITY
    context.verify_mode = ssl.CERT_REQUIRED if tls.mode.verifies else ssl.CERT_NONE
    if tls.cert:
        try:
            context.load_cert_chain(tls.cert, tls.key, password=_no_passphrase)
        except OSError as error:
            raise _unusable("DB_SSL_CERT with DB_SSL_KEY", f"{tls.cert} with {tls.key}", error) from None
    return context


def _no_passphrase() -> str:
    """OpenSSL would ask for one at the terminal."""
    return ""


def _unusable(variable: str, path: str | None, error: OSError) -> ConfigurationError:
    reason = error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else "no PEM file of that kind"
    return ConfigurationError(f"{variable} is {path!r}, which can't be used: {reason}; name a readable PEM file")


def tls_problem(settings: SourceSettings, error: pymysql.MySQLError) -> str | None:
    """Why TLS is to blame for a failed connection, with the remedy; None if it isn't."""
    cause = getattr(error, "original_exception", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        if cause.verify_code in _ANOTHER_NAME:
            return (
                f"its certificate is for another host: {cause.verify_message}; set DB_HOST to a name in the "
                "certificate, or DB_SSL_MODE=verify_ca to have the authority alone verified"
            )
        authority = f"DB_SSL_CA ({settings.tls.ca})" if settings.tls.ca else "the system's authorities"
        return (
            f"its certificate can't be verified by {authority}: {cause.verify_message}; set DB_SSL_CA to the PEM file "
            "of the authority that signed it"
        )
    if isinstance(cause, ssl.SSLError):
        return f"no TLS connection comes about: {cause.reason or cause}; check DB_SSL_MODE, DB_SSL_CERT and DB_SSL_KEY"
    if error.args and error.args[0] == CR.CR_SSL_CONNECTION_ERROR:
        return no_tls(settings.tls)
    return None


def no_tls(tls: TLSSettings) -> str:
    """Says that the server has none."""
    return (
        f"it offers no TLS, and DB_SSL_MODE is {tls.mode.value}; have TLS switched on there, or set "
        "DB_SSL_MODE=preferred to go on without it"
    )
