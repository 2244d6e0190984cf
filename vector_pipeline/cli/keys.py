"""`vector-pipeline keys`: the API keys of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import click
import psycopg

from vector_pipeline import display
from vector_pipeline.cli.printing import as_json, jsonable, messages, print_reports
from vector_pipeline.core.settings import read_settings
from vector_pipeline.core.store import api_keys
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.core.store.connection import connect, target_error
from vector_pipeline.core.store.schema import create_registry

_NOBODY_WITHOUT = (
    "this is the first key: from now on the service asks for one, on this machine too, unless "
    "VECTOR_PIPELINE_TRUSTED_NETWORKS names it (127.0.0.1/32=admin)"
)


@click.group()
def keys() -> None:
    """The API keys of the service: without any, and without a trusted network, it serves its own machine only."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in AccessScope]),
    default=[AccessScope.SEARCH.value],
    help="search reads; sync starts syncs and reads nothing; metrics is for Prometheus; admin may do everything. "
    "Several may be given. "
    "Default: search.",
)
@click.option("--index", "indexes", multiple=True, help="An index that it is good for; several: those. Default: all.")
@click.option("--days", type=click.IntRange(1, 36500), help="For how many days it is good. Default: until revoked.")
@as_json
def create(name: str, scopes: tuple[str, ...], indexes: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Make a key called NAME, and show it: this once, since only a hash of it is kept."""
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with _registry() as connection:
        first = not api_keys.keys_on_file(connection).ever_made
        new = api_keys.create_key(connection, name, [AccessScope(one) for one in scopes], indexes or None, expires_at)
    if as_json:
        click.echo(json.dumps(jsonable(new.key) | {"secret": new.secret}, indent=2))
        return
    if first:
        messages.print(_NOBODY_WITHOUT, highlight=False, soft_wrap=True)
    told = f"key {name}, {display.key_rights(new.key)}: keep it, it is shown this once"
    messages.print(told, highlight=False, soft_wrap=True)
    click.echo(new.secret)


@keys.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Show all keys, revoked ones too, by how they begin."""
    with _registry() as connection:
        found = api_keys.list_keys(connection)
    print_reports(found, as_json, display.api_keys)


@keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """End the key called NAME; servers that run know within seconds."""
    with _registry() as connection:
        api_keys.revoke_key(connection, name)
    messages.print(f"key {name} is revoked")


@contextmanager
def _registry() -> Iterator[psycopg.Connection]:
    target = read_settings().target
    try:
        with closing(connect(target, "vector-pipeline keys")) as connection:
            create_registry(connection)
            yield connection
    except psycopg.Error as error:
        raise target_error(target, error) from None
