"""What SQL users see: a view with the columns that they know, and a function for nearest neighbours.

The vector columns are plain `vector`, without a length, so that a generation of another length can take its place
without dropping the view and its grants. ORDER BY distance over the view's outer joins can't use an ANN index; the
function `<index>.nearest` can.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from vector_pipeline.core.errors import NameTakenError
from vector_pipeline.core.search.nearest import candidates_of
from vector_pipeline.core.search.statement import served_once, statement
from vector_pipeline.core.source.keys import KeyKind
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.store import registry
from vector_pipeline.core.store.ann_index import present_orders
from vector_pipeline.core.store.ann_method import AnnOrder
from vector_pipeline.core.store.locks import Lock, in_transaction, not_waiting_long_for_tables
from vector_pipeline.core.store.names import bounded
from vector_pipeline.core.store.registry import RegisteredIndex

_log = logging.getLogger(__name__)

_MARK = "vector-pipeline index "


def view_name(index: RegisteredIndex) -> sql.Identifier:
    return sql.Identifier("public", bounded(index.name))


def refuse_a_stranger(connection: psycopg.Connection, name: str) -> None:
    """Keeps hands off a table or view of the index's name that this project did not make.

    Raises:
        NameTakenError: with the way out.
    """
    _mark_of_view(connection, name)


def renamed_stranger(name: str) -> str:
    """What the remedy calls a table that bore the index's name."""
    return bounded(f"{name}_old")


def _mark_of_view(connection: psycopg.Connection, name: str) -> str | None:
    """What our view of that name says of itself, None where there is none."""
    row = connection.execute(
        """
        SELECT c.relkind, obj_description(c.oid, 'pg_class')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname = %s
        """,
        (bounded(name),),
    ).fetchone()
    if row is not None and not (row[0] == "v" and (row[1] or "").startswith(_MARK)):
        raise NameTakenError(
            f"PostgreSQL already has public.{bounded(name)}, which vector-pipeline did not make",
            f'rename it (ALTER TABLE public."{bounded(name)}" RENAME TO "{renamed_stranger(name)}") and sync: the rows '
            "are read from MySQL again. Before it, the vectors of a service that kept them beside its texts are taken "
            f"over by: vector-pipeline import-legacy {name}",
        )
    return row[1] if row is not None else None


def create_view(
    connection: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, unique_on: str | None
) -> None:
    """Creates the view, or brings it up to date; the grants on it stay.

    A view that is as it should be costs one look: replacing it would wait for everyone who reads it.
    """
    view = view_name(index)
    query = _view_query(index, plan, unique_on)
    mark = f"{_MARK}{index.name} {hashlib.sha256(query.as_bytes(connection)).hexdigest()[:12]}"
    if _mark_of_view(connection, index.name) == mark:
        return
    with connection.transaction():
        # PostgreSQL fails with "tuple concurrently updated" where two sessions replace the same thing.
        in_transaction(connection, Lock.SCHEMA, 0)
        if _mark_of_view(connection, index.name) == mark or not _is_served(connection, index):
            return  # by another session meanwhile
        try:
            replaced = _replace(connection, view, query) or _make_anew(connection, view, query)
        except psycopg.errors.LockNotAvailable:
            # Neither a switch nor a sync may wait for somebody's report.
            _log.warning(
                "the view %s stays as it was, since somebody has been reading it for long; the next sync or refresh "
                "brings it up to date",
                view.as_string(connection),
            )
            return
        if replaced:
            connection.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(view, sql.Literal(mark)))


def _is_served(connection: psycopg.Connection, index: RegisteredIndex) -> bool:
    """Whether it still is: whoever switched since the caller looked has shown the other generation."""
    now = registry.load(connection, index.name)
    return now is not None and now.generation.number == index.generation.number


def _replace(connection: psycopg.Connection, view: sql.Identifier, query: sql.Composed) -> bool:
    """False where columns would go, move or come in between, which PostgreSQL doesn't do to a view."""
    try:
        with not_waiting_long_for_tables(connection):
            connection.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS {}").format(view, query))
    except psycopg.errors.InvalidTableDefinition:
        return False
    return True


def _make_anew(connection: psycopg.Connection, view: sql.Identifier, query: sql.Composed) -> bool:
    """Drops the view and creates it with the grants that it had.

    False where others build on it: the old one stays then, since no sync may fail for what a user made beside it.
    """
    grants = _grants(connection, view)
    try:
        with not_waiting_long_for_tables(connection):
            connection.execute(sql.SQL("DROP VIEW {}").format(view))
    except psycopg.errors.DependentObjectsStillExist as error:
        name = view.as_string(connection)
        _log.warning(
            "the view %s keeps the columns that it had, since others build on it (%s); to have the declared ones, "
            "drop what builds on it, sync or refresh the index, and create that again",
            name,
            "; ".join((error.diag.message_detail or "").splitlines()),
        )
        return False
    connection.execute(sql.SQL("CREATE VIEW {} AS {}").format(view, query))
    columns = {name for (name,) in connection.execute(_COLUMNS, (view.as_string(connection),)).fetchall()}
    for grant in grants:
        if grant.column is None or grant.column in columns:
            connection.execute(grant.statement(view))
    return True


_COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"


@dataclass(frozen=True)
class _Grant:
    """A right on the view, or on one of its columns. `role` None is everyone."""

    role: str | None
    privilege: str
    grantable: bool
    column: str | None

    def statement(self, view: sql.Identifier) -> sql.Composed:
        return sql.SQL("GRANT {}{} ON {} TO {}{}").format(
            sql.SQL(self.privilege),
            sql.SQL(" ({})").format(sql.Identifier(self.column)) if self.column is not None else sql.SQL(""),
            view,
            sql.Identifier(self.role) if self.role is not None else sql.SQL("PUBLIC"),
            sql.SQL(" WITH GRANT OPTION") if self.grantable else sql.SQL(""),
        )


def _grants(connection: psycopg.Connection, view: sql.Identifier) -> list[_Grant]:
    """What others than the owner may do with the view."""
    rows = connection.execute(
        """
        SELECT r.rolname, a.privilege_type, a.is_grantable, a.attname
        FROM (SELECT relowner, NULL AS attname, (aclexplode(relacl)).*
              FROM pg_class WHERE oid = %(view)s::regclass
              UNION ALL
              SELECT relowner, attname, (aclexplode(attacl)).*
              FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
              WHERE attrelid = %(view)s::regclass AND NOT attisdropped) a
        LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE a.grantee <> a.relowner AND (a.grantee = 0 OR r.rolname IS NOT NULL)
        """,
        {"view": view.as_string(connection)},
    ).fetchall()
    return [_Grant(*row) for row in rows]


def _view_query(index: RegisteredIndex, plan: ReadingPlan, unique_on: str | None) -> sql.Composed:
    columns = [sql.SQL("{} AS id").format(_shown_key(plan))]
    columns += [
        sql.SQL("d.{} AS {}").format(sql.Identifier(column), sql.Identifier(name))
        for name, column in zip(index.generation.rendering.names, index.generation.columns, strict=True)
    ]
    columns += [
        sql.SQL("d.metadata ->> {} AS {}").format(sql.Literal(column.served), sql.Identifier(column.served))
        for column in plan.metadata
        if column.served not in index.generation.rendering.names
    ]
    joins = []
    for number, field in enumerate(index.generation.rendering.fields):
        columns.append(
            sql.SQL("v{}.embedding::vector AS {}").format(
                sql.SQL(str(number)), sql.Identifier(bounded(f"{field}_embedding"))
            )
        )
        joins.append(
            sql.SQL(
                "LEFT JOIN {passages} p{n} ON p{n}.key = d.key AND p{n}.field = {field} AND p{n}.ordinal = 0"
                " LEFT JOIN {vectors} v{n} ON v{n}.content_hash = p{n}.served_hash AND v{n}.field = p{n}.field"
            ).format(
                passages=sql.Identifier(index.schema, index.passages),
                vectors=sql.Identifier(index.schema, index.vectors),
                field=sql.Literal(field),
                n=sql.SQL(str(number)),
            )
        )
    where = sql.SQL(" WHERE ") + served_once(index, unique_on) if unique_on else sql.SQL("")
    return sql.SQL("SELECT {} FROM {} d {}{}").format(
        sql.SQL(", ").join(columns),
        sql.Identifier(index.schema, "documents"),
        sql.SQL(" ").join(joins),
        where,
    )


def _shown_key(plan: ReadingPlan) -> sql.SQL:
    kind = plan.key_columns[0].kind if len(plan.key_columns) == 1 else KeyKind.TEXT
    if kind is KeyKind.INTEGER and "unsigned" not in plan.key.source_type:
        return sql.SQL("d.key::bigint")
    return sql.SQL("d.key::numeric" if kind in {KeyKind.INTEGER, KeyKind.DECIMAL} else "d.key")


# As `nearest.nearest` does it: the walk is made again, farther, where it meets fewer documents than are wanted; and all
# vectors are looked at where it ends before there are enough.
_BRANCH = """
    IF $3 = {field} THEN
        {ways}
        RETURN QUERY SELECT f.k, f.s FROM unnest(found_keys, found_scores) f(k, s) ORDER BY f.s DESC LIMIT $2;
        RETURN;
    END IF;
"""

_WAY = """
    IF coalesce(cardinality(found_keys), 0) < $2 THEN
        PERFORM set_config('enable_sort', {sort}, true);
        passages_wanted := $2;
        LOOP
            PERFORM set_config(
                        'hnsw.max_scan_tuples', least(2147483647, greatest(20000, 20 * passages_wanted))::text, true),
                    set_config('hnsw.scan_mem_multiplier', least(1000, 1 + passages_wanted / 20000)::text, true);
            SELECT array_agg(s.key), array_agg(1 - s.distance), coalesce(max(s.walked), 0)
            INTO found_keys, found_scores, passages_met
            FROM ({statement}) s;
            EXIT WHEN coalesce(cardinality(found_keys), 0) >= $2 OR passages_met < passages_wanted;
            passages_wanted := 4 * passages_wanted;
        END LOOP;
    END IF;
"""


def create_nearest_function(connection: psycopg.Connection, index: RegisteredIndex, unique_on: str | None) -> None:
    """Creates `<index>.nearest(query vector, result_limit integer, field text)` for SQL users."""
    present = present_orders(connection, index)
    branches = sql.SQL(" ").join(
        sql.SQL(_BRANCH).format(
            field=sql.Literal(field), ways=_ways(connection, index, unique_on, field, present.get(field))
        )
        for field in index.generation.rendering.fields
    )
    function = sql.Identifier(index.schema, "nearest")
    body = sql.SQL(
        "DECLARE found_keys text[]; found_scores float8[]; passages_met bigint; passages_wanted bigint := $2;"
        " BEGIN"
        " IF $2 IS NULL OR $2 < 0 THEN RAISE EXCEPTION 'result_limit is %; give a number from 0', $2; END IF;"
        " {} RAISE EXCEPTION 'no field % in this index', $3; END"
    ).format(branches)
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        if not _is_served(connection, index):
            return
        connection.execute(
            sql.SQL(
                """
                CREATE OR REPLACE FUNCTION {}(query vector, result_limit integer, field text)
                RETURNS TABLE (id text, score double precision)
                LANGUAGE plpgsql STABLE
                SET hnsw.iterative_scan = 'strict_order'
                SET hnsw.ef_search = 400
                SET plan_cache_mode = 'force_custom_plan'
                SET enable_sort = 'on'
                SET jit = off
                SET hnsw.max_scan_tuples = 20000
                SET hnsw.scan_mem_multiplier = 1
                AS {}
                """
            ).format(function, sql.Literal(body.as_string(connection)))
        )


def _ways(
    connection: psycopg.Connection, index: RegisteredIndex, unique_on: str | None, field: str, order: AnnOrder | None
) -> sql.Composed:
    return sql.SQL(" ").join(
        sql.SQL(_WAY).format(
            sort=sql.Literal("on" if way is None else "off"),
            statement=_as_function_body(connection, index, unique_on, field, way),
        )
        for way in dict.fromkeys((order, None))
    )


def _as_function_body(
    connection: psycopg.Connection, index: RegisteredIndex, unique_on: str | None, field: str, order: AnnOrder | None
) -> sql.SQL:
    """The statement of the search with the function's arguments in place of its parameters."""
    # Whether a vector is behind is nothing that the function tells, and its users may not read the registry.
    following = replace(index, generation=replace(index.generation, behind_since=None))
    text = statement(following, unique_on, order, field).as_string(connection)
    least, for_each = candidates_of(order) if order is not None else (0, 0)
    for parameter, argument in (
        ("vector", "$1"),
        ("limit", "passages_wanted"),
        ("candidates", f"greatest({least}, {for_each} * passages_wanted)"),
    ):
        text = text.replace(f"%({parameter})s", argument)
    return sql.SQL(text.replace("%%", "%"))
