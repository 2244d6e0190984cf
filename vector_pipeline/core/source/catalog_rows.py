"""MySQL's catalog as a table: a row for each table and view that the user may see, made by MySQL itself.

The rows are those of a derived table over `information_schema`, so that ranges, digests and rows of the catalog are
read by the same statements as those of any table. What MySQL counts of a table enters as a power of ten alone: a count
that moves with each INSERT would be another row, and another digest, at every look.

`information_schema` compares names without regard to case on MariaDB and by their bytes on MySQL; here both compare
them by their code points, since `Orders` and `orders` may be two tables.
"""

from __future__ import annotations

from collections.abc import Sequence

from vector_pipeline.core.catalog_defaults import CATALOG_DATABASE, CATALOG_KEY, CATALOG_TABLE
from vector_pipeline.core.errors import DeclarationProblem
from vector_pipeline.core.source.catalog import SourceColumn, SourceIndex, SourceTable
from vector_pipeline.core.source.catalog_samples import samples_relation
from vector_pipeline.core.source.connection import Connection, is_mariadb
from vector_pipeline.core.source.sql_literal import literal
from vector_pipeline.core.spec import CatalogSpec

ALL_DATABASES = "*"
_SERVERS_OWN = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
# Left out: sequences, and temporary tables of a session, which newer servers list as well.
_KINDS = ("BASE TABLE", "SYSTEM VERSIONED", "VIEW")
# An ENUM's may be 64 kB. With this, the 1,017 columns that InnoDB lets a table have stay below 6 MB, comments included,
# and so below the server's max_allowed_packet (16 MB or more), beyond which GROUP_CONCAT cuts without an error.
_LONGEST_TYPE = 200
_NAME_CHARACTERS = 64
# Each is opened by every statement that reads the catalog.
_MOST_SAMPLED = 200
_KEY_CHARACTERS = 2 * (2 * _NAME_CHARACTERS + 2) + 1
# Where a name in camel case is two words: before the last capital of several (HTTPServer), and between a small letter
# or digit and a capital. Lookbehinds alone would do, but MariaDB replaces nothing that is empty.
_WORD_ENDS = (r"(\p{Lu})(\p{Lu}\p{Ll})", r"([\p{Ll}\p{N}])(\p{Lu})")
_BOTH_PARTS_MARIADB, _BOTH_PARTS_MYSQL = r"\1 \2", "$1 $2"


def look_at_catalog(
    connection: Connection, catalog: CatalogSpec
) -> tuple[SourceTable | None, list[DeclarationProblem]]:
    """The catalog as the table that an index is declared over; None, and why, where databases can't be seen.

    A database that is named and gone is an error, as a table is, and not a catalog that has become smaller.
    """
    current, visible = _databases(connection)
    every = ALL_DATABASES in catalog.databases
    named = [] if every else catalog.databases or [current]
    missing = [name for name in named if name not in visible]
    if missing or not visible:
        return None, [_not_visible(missing, visible)]
    both_parts = _BOTH_PARTS_MARIADB if is_mariadb(connection) else _BOTH_PARTS_MYSQL
    databases = None if every else named
    derived = _derived_table(catalog, databases, both_parts)
    if catalog.samples:
        tables = _tables_in(connection, derived)
        if len(tables) > _MOST_SAMPLED:
            return None, [_too_many_to_sample(len(tables))]
        derived = _derived_table(catalog, databases, both_parts, samples_relation(connection, tables, catalog.samples))
    return _described(derived), []


def _described(derived: str) -> SourceTable:
    return SourceTable(
        CATALOG_DATABASE,
        CATALOG_TABLE,
        {column.name: column for column in _COLUMNS},
        (SourceIndex((CATALOG_KEY,), unique=True, complete=True),),
        is_view=True,
        derived=derived,
    )


def _tables_in(connection: Connection, derived: str) -> list[tuple[str, str]]:
    """Database and name of each table of the catalog, views left out."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT `database`, `table` FROM {derived} WHERE kind = 'table' ORDER BY `name`", ())
        return [(str(database), str(table)) for database, table in cursor.fetchall()]


def _too_many_to_sample(tables: int) -> DeclarationProblem:
    return DeclarationProblem(
        "source.catalog.samples",
        f"rows of {tables:,} tables would be read at each look, and {_MOST_SAMPLED} is the most",
        "leave tables out by databases or exclude, or show no rows",
    )


def _databases(connection: Connection) -> tuple[str, list[str]]:
    """The session's own, and those that the user may see, less the server's own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT schema_name, DATABASE() FROM information_schema.schemata")
        found = [(str(name), str(current)) for name, current in cursor.fetchall()]
    return found[0][1], sorted(name for name, _ in found if name.lower() not in _SERVERS_OWN)


def _not_visible(missing: Sequence[str], visible: Sequence[str]) -> DeclarationProblem:
    there = f"there are: {', '.join(visible)}" if visible else "it may see none"
    return DeclarationProblem(
        "source.catalog.databases",
        f"this user may not see {' or '.join(map(repr, missing)) or 'any database'}; {there}",
        "correct the names, or GRANT SELECT on their tables",
    )


def _text(name: str, characters: int | None = None, nullable: bool = True) -> SourceColumn:
    kind, full = ("mediumtext", "mediumtext") if characters is None else ("varchar", f"varchar({characters})")
    most = 16_777_215 if characters is None else characters
    most_bytes = most if characters is None else 4 * most
    return SourceColumn(name, kind, full, nullable, most_bytes, most, "utf8mb4", "utf8mb4_bin")


_COLUMNS = (
    _text(CATALOG_KEY, _KEY_CHARACTERS, nullable=False),
    _text("title"),
    _text("comment"),
    _text("columns"),
    _text("keys"),
    _text("samples"),
    _text("database", _NAME_CHARACTERS),
    _text("table", _NAME_CHARACTERS),
    _text("kind", 16),
    _text("engine", _NAME_CHARACTERS),
    SourceColumn("about_rows", "bigint", "bigint", True, None, None, None, None),
    _text("primary_key"),
)


def _derived_table(
    catalog: CatalogSpec, databases: Sequence[str] | None, both_parts: str, samples: str | None = None
) -> str:
    kept = " AND ".join(f"NOT {_fits(pattern)}" for pattern in catalog.exclude) or "1 = 1"
    return rf"""(
        SELECT
            t.`name` AS `name`,
            CONCAT({_words("t.tbl", both_parts)}, ' (', t.`name`, ')') AS `title`,
            t.`comment` AS `comment`,
            c.`columns` AS `columns`,
            NULLIF(CONCAT_WS('\n', CONCAT('primary key: ', p.`columns`), f.`keys`), '') AS `keys`,
            {"s.`samples`" if samples else "NULL"} AS `samples`,
            t.db AS `database`,
            t.tbl AS `table`,
            t.kind AS `kind`,
            t.engine AS `engine`,
            {_ABOUT_ROWS if catalog.statistics else "NULL"} AS `about_rows`,
            p.`columns` AS `primary_key`
        FROM (SELECT {_full_name("db", "tbl")} AS `name`, one.* FROM ({_tables(databases)}) one) t
        LEFT JOIN ({_columns(databases, both_parts)}) c ON c.db = t.db AND c.tbl = t.tbl
        LEFT JOIN ({_primary_keys(databases)}) p ON p.db = t.db AND p.tbl = t.tbl
        LEFT JOIN ({_foreign_keys(databases)}) f ON f.db = t.db AND f.tbl = t.tbl
        {f"LEFT JOIN {samples} s ON s.db = t.db AND s.tbl = t.tbl" if samples else ""}
        WHERE {kept}
    ) AS `catalog`"""


def _tables(databases: Sequence[str] | None) -> str:
    kinds = ", ".join(f"'{kind}'" for kind in _KINDS)
    return f"""
        SELECT
            {_name("table_schema")} AS db,
            {_name("table_name")} AS tbl,
            IF(table_type = 'VIEW', 'view', 'table') AS kind,
            CONVERT(engine USING utf8mb4) AS engine,
            table_rows AS counted,
            IF(table_type = 'VIEW', NULL, NULLIF(CONVERT(table_comment USING utf8mb4), '')) AS `comment`
        FROM information_schema.tables
        WHERE {_is_in(databases)} AND table_type IN ({kinds})"""


def _columns(databases: Sequence[str] | None, both_parts: str) -> str:
    """A line for each: its name, its words where they are others, its type, its comment."""
    name, kind = _name("column_name"), "CONVERT(column_type USING utf8mb4)"
    words = _words("column_name", both_parts)
    short = f"IF(CHAR_LENGTH({kind}) > {_LONGEST_TYPE}, CONCAT(LEFT({kind}, {_LONGEST_TYPE}), '…'), {kind})"
    line = f"""CONCAT(
                {name}, IF({words} = {name}, '', CONCAT(' (', {words}, ')')), ' ', {short},
                IF(column_comment = '', '', CONCAT(': ', CONVERT(column_comment USING utf8mb4))))"""
    return rf"""
        SELECT {_name("table_schema")} AS db, {_name("table_name")} AS tbl,
            GROUP_CONCAT({line} ORDER BY ordinal_position SEPARATOR '\n') AS `columns`
        FROM information_schema.columns
        WHERE {_is_in(databases)}
        GROUP BY db, tbl"""


def _primary_keys(databases: Sequence[str] | None) -> str:
    return f"""
        SELECT {_name("table_schema")} AS db, {_name("table_name")} AS tbl,
            GROUP_CONCAT({_name("column_name")} ORDER BY seq_in_index SEPARATOR ', ') AS `columns`
        FROM information_schema.statistics
        WHERE {_is_in(databases)} AND index_name = 'PRIMARY'
        GROUP BY db, tbl"""


def _foreign_keys(databases: Sequence[str] | None) -> str:
    """Told and ordered without the names of the constraints, which change when a dump is loaded."""
    ours, theirs = (
        f"GROUP_CONCAT({_name(column)} ORDER BY ordinal_position SEPARATOR ', ')"
        for column in ("column_name", "referenced_column_name")
    )
    return rf"""
        SELECT db, tbl, GROUP_CONCAT(one ORDER BY one SEPARATOR '\n') AS `keys`
        FROM (
            SELECT {_name("table_schema")} AS db, {_name("table_name")} AS tbl,
                {_name("constraint_name")} AS named,
                {_name("referenced_table_schema")} AS their_db, {_name("referenced_table_name")} AS their_tbl,
                CONCAT(
                    'foreign key: ', {ours}, ' references ', {_name("referenced_table_schema")}, '.',
                    {_name("referenced_table_name")}, ' (', {theirs}, ')') AS one
            FROM information_schema.key_column_usage
            WHERE {_is_in(databases)} AND referenced_table_name IS NOT NULL
            GROUP BY db, tbl, named, their_db, their_tbl
        ) each_key
        GROUP BY db, tbl"""


# The nearest power of ten: a table has to triple, or to lose two thirds, to become another row.
_ABOUT_ROWS = "IF(t.counted > 0, CAST(POW(10, ROUND(LOG10(t.counted))) AS UNSIGNED), t.counted)"


def _full_name(database: str, table: str) -> str:
    """`database.table`; what has a dot or a backtick itself is in backticks, so that no two tables have one name."""
    parts = [
        f"IF(LOCATE('.', {part}) + LOCATE('`', {part}), CONCAT('`', REPLACE({part}, '`', '``'), '`'), {part})"
        for part in (database, table)
    ]
    return f"CONCAT({parts[0]}, '.', {parts[1]})"


def _words(name: str, both_parts: str) -> str:
    """A name as words: apart at underscores and where camel case has them."""
    words = f"TRIM(REPLACE({_name(name)}, '_', ' '))"
    for end in _WORD_ENDS:
        words = f"REGEXP_REPLACE({words}, {literal(end)}, {literal(both_parts)})"
    return words


def _is_in(databases: Sequence[str] | None) -> str:
    """Whether it is one of these; or one that isn't the server's own, also if it is made later."""
    names = ", ".join(map(literal, databases or sorted(_SERVERS_OWN)))
    return f"{_name('table_schema')} {'IN' if databases else 'NOT IN'} ({names})"


def _fits(pattern: str) -> str:
    """Whether a table is one of those that the pattern, in which * stands for anything, names."""
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, "\\" + special)
    return f"{'t.`name`' if '.' in pattern else 't.tbl'} LIKE {literal(pattern.replace('*', '%'))}"


def _name(expression: str) -> str:
    return f"CONVERT({expression} USING utf8mb4) COLLATE utf8mb4_bin"
