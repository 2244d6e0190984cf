"""Finding what is wrong with a declaration that could be read: each problem with its field and its remedy."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import pymysql

from vector_pipeline.core.catalog_defaults import CATALOG_DATABASE, CATALOG_KEY, CATALOG_TABLE
from vector_pipeline.core.detection.declared import detector_problems
from vector_pipeline.core.documents.declared import searched_fields
from vector_pipeline.core.documents.problems import text_problems
from vector_pipeline.core.errors import DeclarationProblem
from vector_pipeline.core.source.canonical import canonical_expression
from vector_pipeline.core.source.catalog import SourceColumn, SourceTable
from vector_pipeline.core.source.connection import Connection, identifier, is_about_the_statement
from vector_pipeline.core.source.keys import unusable_as_key
from vector_pipeline.core.source.plan import is_optional, source_column_name
from vector_pipeline.core.source.replicas import host_and_port
from vector_pipeline.core.spec import IndexSpec

BEST_FIELD = "best"
_KEY_FIELD = "source.primary_key"
_DOCUMENT_COLUMNS = {"key", "sort_key", "range_id", "metadata", "unstorable", "updated_at"}
_SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
_RESERVED_SCHEMAS = {"public", "information_schema", "vector_pipeline"}
# With `_embedding` appended the name still fits PostgreSQL's 63 bytes.
_LONGEST_SERVED_NAME_BYTES = 53


def static_problems(spec: IndexSpec) -> list[DeclarationProblem]:
    """What is wrong whatever the database holds."""
    return [
        *_name_problems(spec),
        *_served_name_problems(spec),
        *_reference_problems(spec),
        *_filter_problems(spec),
        *_source_problems(spec),
        *_named_key_problems(spec),
        *_condition_problems(spec),
        *_owner_problems(spec),
        *_throttle_problems(spec),
        *_text_search_problems(spec),
        *_ann_problems(spec),
        *_golden_problems(spec),
        *text_problems(spec),
    ]


def is_usable_owner(owner: str) -> bool:
    """Whether Dagster takes it: an e-mail address, or `team:` and a name."""
    return re.fullmatch(r"team:[A-Za-z0-9_]+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}", owner) is not None


def _owner_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    for owner in spec.owners:
        if not is_usable_owner(owner):
            yield DeclarationProblem(
                "owners", f"{owner!r} is no owner", "give an e-mail address, or team: and a name of letters and digits"
            )


def _throttle_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    throttle = spec.source.throttle
    if throttle.replicas and throttle.longest_lag_seconds is None:
        yield DeclarationProblem(
            "source.throttle.replicas",
            "replicas are named, but not how far they may be behind",
            "declare source.throttle.longest_lag_seconds, or leave the replicas out",
        )
    for replica in throttle.replicas:
        if host_and_port(replica) is None:
            yield DeclarationProblem("source.throttle.replicas", f"{replica!r} is no address", "give host or host:port")


def _ann_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    prefix, dimensions = spec.search.ann_prefix, spec.embedding.dimensions
    if prefix is not None and dimensions is not None and prefix >= dimensions:
        yield DeclarationProblem(
            "search.ann_prefix",
            f"{prefix} is not less than the {dimensions} numbers of a vector",
            "leave it out to index all of them, or declare fewer",
        )


def _golden_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    if spec.search.golden_floor.is_declared and spec.search.golden_set is None:
        yield DeclarationProblem(
            "search.golden_floor",
            "there is a floor, but no golden set to measure",
            "declare search.golden_set, or leave the floor out",
        )


def _is_plain_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018 - raises ValueError for a port that is no number
    except ValueError:
        return False
    is_plain = text.isascii() and text.isprintable() and " " not in text
    return is_plain and url.scheme in ("http", "https") and bool(url.hostname) and "@" not in url.netloc


def _text_search_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    rerank = spec.search.rerank
    if rerank is not None and not _is_plain_url(rerank.url):
        yield DeclarationProblem(
            "search.rerank.url",
            "it is no http(s) URL, or has a user or a password in it",
            "give the endpoint, as in http://models.internal:8000/v1/rerank, and the key by api_key_variable",
        )
    declared = spec.search.text
    if declared is None:
        return
    names, metadata = list(spec.document.text), spec.document.metadata
    for name in declared.weights:
        if name not in names:
            yield DeclarationProblem(
                f"search.text.weights.{name}", f"{name!r} is not a served text", f"name one of: {', '.join(names)}"
            )
    if len({declared.weights.get(name, 1.0) for name in names[3:]}) > 1:
        yield DeclarationProblem(
            "search.text.weights",
            f"{', '.join(names[3:])} have different weights, and PostgreSQL tells only four apart",
            "give them the same weight, or serve those that differ among the first three texts",
        )
    if declared.language_column is not None and declared.language_column not in metadata:
        yield DeclarationProblem(
            "search.text.language_column",
            f"{declared.language_column!r} is not served metadata",
            f"name one of: {', '.join(metadata)}" if metadata else "serve the column under document.metadata",
        )
    for value in declared.languages:
        if {"\0", "%"} & set(value):
            yield DeclarationProblem(
                f"search.text.languages.{value}",
                "the value has a % or a NUL in it",
                "name languages by values without, such as en",
            )
    if (declared.language_column is None) != (not declared.languages):
        yield DeclarationProblem(
            "search.text.languages",
            "a column that says the language of a row, and what its values mean, are declared one without the other",
            "declare both, as in language_column: lang, languages: {en: english, ms: indonesian}; or neither",
        )


def _name_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    name = spec.name
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        yield DeclarationProblem(
            "name", f"{name!r} can't name an index", "use letters, digits and _, not beginning with a digit"
        )
    elif name.lower() in _RESERVED_SCHEMAS or name.lower().startswith("pg_"):
        yield DeclarationProblem("name", f"{name!r} is the name of another PostgreSQL schema", "choose another name")


def reserved_served_names(fields: Iterable[str]) -> frozenset[str]:
    """Names that an index with these embedded fields has for itself."""
    embeddings = {f"{field}_embedding" for field in fields}
    return frozenset(_DOCUMENT_COLUMNS | _SYSTEM_COLUMNS | embeddings | {"id", BEST_FIELD})


def _served_name_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    if not spec.document.text:
        yield DeclarationProblem("document.text", "no column to embed is named", "name at least one")
    reserved = reserved_served_names(_embedded_fields(spec))
    for part, names in (("text", spec.document.text), ("metadata", spec.document.metadata)):
        for name in names:
            field = f"document.{part}.{name}"
            if not name.strip() or {"\0", "%"} & set(name) or len(name.encode()) > _LONGEST_SERVED_NAME_BYTES:
                yield DeclarationProblem(
                    field,
                    "the served name is empty, too long, or has a % in it",
                    f"use 1 to {_LONGEST_SERVED_NAME_BYTES} bytes without %",
                )
            if name in reserved:
                yield DeclarationProblem(
                    field,
                    f"{name!r} is a name that every index has for itself",
                    "serve it under another name",
                )
    for name in sorted(spec.document.text.keys() & spec.document.metadata.keys()):
        yield DeclarationProblem(
            f"document.metadata.{name}", f"{name!r} is also a served text", "serve it under another name"
        )


# What `where` consists of: quoted text and names, what could end the parentheses that it is put into, and all else.
_CONDITION_PARTS = re.compile(
    r"""(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`[^`]*`)|(?P<open>\()|(?P<close>\))"""
    r"""|(?P<comment>--|\#|/\*)|(?P<end>;)|(?P<unclosed>['"`])|[^'"`()\-\#/;]+|.""",
    re.DOTALL,
)


def _condition_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    """A condition is put into parentheses beside a range's bounds: nothing in it may end them, or hide what follows."""
    field, depth = "source.where", 0
    for part in _CONDITION_PARTS.finditer(spec.source.where or ""):
        depth += {"open": 1, "close": -1}.get(part.lastgroup or "", 0)
        if part.lastgroup == "comment":
            yield DeclarationProblem(
                field, f"there is a comment ({part.group()}) in the condition", "leave it out; quote it if it is a text"
            )
            return
        if part.lastgroup == "end":
            yield DeclarationProblem(field, "there is a ; in the condition", "give one condition, without a ;")
            return
        if part.lastgroup == "unclosed":
            yield DeclarationProblem(field, f"a {part.group()} is opened and never closed", "close it")
            return
        if depth < 0:
            break
    if depth:
        yield DeclarationProblem(field, "its parentheses don't match", "close each one that is opened, and no more")


def _embedded_fields(spec: IndexSpec) -> list[str]:
    return list(searched_fields(spec))


def _reference_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    texts = ", ".join(spec.document.text)
    unique_on = spec.document.unique_on
    if unique_on is not None and unique_on not in spec.document.text:
        yield DeclarationProblem("document.unique_on", f"{unique_on!r} is not a served text", f"name one of: {texts}")
    fields = _embedded_fields(spec)
    chosen = spec.search.field
    weights = list(chosen.values()) if isinstance(chosen, dict) else [1.0]
    named = [chosen] if isinstance(chosen, str) else list(chosen)
    allowed = fields if isinstance(chosen, dict) else [BEST_FIELD, *fields]
    for name in named:
        if name not in allowed:
            yield DeclarationProblem(
                "search.field", f"{name!r} is not a field that is embedded", f"name one of: {', '.join(allowed)}"
            )
    if not named or not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        yield DeclarationProblem(
            "search.field",
            f"{chosen} gives nothing to search by",
            "name a field, or give each field a weight from 0 up, and one of them more than 0",
        )


def _filter_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    there = ", ".join(spec.document.metadata)
    for name in spec.search.filters or ():
        if name not in spec.document.metadata:
            yield DeclarationProblem(
                "search.filters",
                f"{name!r} is no served metadata",
                f"name some of: {there}" if there else "declare it in document.metadata",
            )


def _source_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    source = spec.source
    if not source.table:
        yield DeclarationProblem("source.table", "no table is named", "name a table or view, or declare source.catalog")
    if source.catalog is None:
        return
    for field, value, filled_in in (
        ("table", source.table, CATALOG_TABLE),
        ("database", source.database, CATALOG_DATABASE),
        ("primary_key", source.primary_key, CATALOG_KEY),
    ):
        if value != filled_in:
            yield DeclarationProblem(
                f"source.{field}",
                "the catalog is declared as well, which is no table",
                f"leave out {field}, or catalog",
            )


def _named_key_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    names = [name.lower() for name in spec.source.key_columns]
    if not names:
        yield DeclarationProblem(_KEY_FIELD, "no column is named", "name the column that identifies a row")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield DeclarationProblem(_KEY_FIELD, f"{name!r} is named more than once", "name each column once")


def catalogue_problems(spec: IndexSpec, database: str, table: SourceTable | None) -> list[DeclarationProblem]:
    """What is wrong given the table as MySQL's catalogue describes it."""
    # SHOW VIEW alone shows that a table is there, and none of its columns.
    if table is None or not table.columns:
        return [
            DeclarationProblem(
                "source.table",
                f"there is no table or view {database}.{spec.source.table} that this user may read",
                "correct source.table or source.database, or GRANT SELECT on it",
            )
        ]
    return [*_column_problems(spec, table), *_key_problems(spec, table), *detector_problems(spec, table)]


def _column_problems(spec: IndexSpec, table: SourceTable) -> Iterator[DeclarationProblem]:
    for part, references in (("text", spec.document.text), ("metadata", spec.document.metadata)):
        for served, reference in references.items():
            name = source_column_name(reference)
            column = table.column(name)
            field = f"document.{part}.{served}"
            if column is None and not is_optional(reference):
                yield _no_such_column(field, name, table)
            elif column is not None:
                yield from _type_problems(field, column, table)
            elif part == "text":
                yield DeclarationProblem(
                    field, f"{_full_name(table)} has no column {name!r}", "only metadata can be optional"
                )


def _type_problems(field: str, column: SourceColumn, table: SourceTable) -> Iterator[DeclarationProblem]:
    if canonical_expression(column) is None:
        yield DeclarationProblem(
            field,
            f"column {column.name!r} of {_full_name(table)} has type {column.column_type}, which has no text form",
            "leave it out, or declare a view that converts it",
        )


def _key_problems(spec: IndexSpec, table: SourceTable) -> list[DeclarationProblem]:
    names = spec.source.key_columns
    found = [column for name in names if (column := table.column(name)) is not None]
    return (
        [problem for column in found for problem in _key_type_problems(column, table)]
        or list(_no_key_problems(table))
        or [_no_such_column(_KEY_FIELD, name, table) for name in names if table.column(name) is None]
        or list(_index_problems(spec, table))
    )


def _key_type_problems(column: SourceColumn, table: SourceTable) -> Iterator[DeclarationProblem]:
    unusable = unusable_as_key(column)
    if unusable is not None:
        why, remedy = unusable
        yield DeclarationProblem(
            _KEY_FIELD,
            f"column {column.name!r} of {_full_name(table)} has type {column.column_type}, which can't be a key: "
            f"it {why}",
            remedy,
        )


def _no_key_problems(table: SourceTable) -> Iterator[DeclarationProblem]:
    if not table.is_view and not _usable_keys(table, [index.columns for index in table.indexes]):
        yield DeclarationProblem(
            _KEY_FIELD,
            f"{_full_name(table)} has no index over columns that can be a key",
            f"give it a key (ALTER TABLE {table.name} ADD PRIMARY KEY (…), or ADD COLUMN id BIGINT UNSIGNED NOT NULL "
            "AUTO_INCREMENT PRIMARY KEY), or declare a view with a unique key",
        )


def _index_problems(spec: IndexSpec, table: SourceTable) -> Iterator[DeclarationProblem]:
    """Without such an index each cut and each range would make the server read the whole table."""
    names = [name.lower() for name in spec.source.key_columns]
    if table.is_view or any(list(index.columns[: len(names)]) == names for index in table.indexes):
        return
    declared = ", ".join(spec.source.key_columns)
    unique = " or ".join(f"[{', '.join(names)}]" for names in _usable_keys(table, table.unique_keys))
    instead = f"declare a unique key in the order of its index, {unique}, or " if unique else ""
    yield DeclarationProblem(
        _KEY_FIELD,
        f"no index of {_full_name(table)} begins with ({declared}), in this order, so that each range would be cut by "
        "reading the whole table",
        f"{instead}create one: CREATE UNIQUE INDEX … ON {table.name} ({declared})",
    )


def _usable_keys(table: SourceTable, keys: Iterable[tuple[str, ...]]) -> list[list[str]]:
    """Those of the keys that can be declared, with the names that their columns have in the table."""
    found = [[table.column(name) for name in key] for key in keys if key]
    usable = [[column for column in key if column is not None and unusable_as_key(column) is None] for key in found]
    return [[column.name for column in key] for key, whole in zip(usable, found, strict=True) if len(key) == len(whole)]


def _no_such_column(field: str, name: str, table: SourceTable) -> DeclarationProblem:
    there = ", ".join(column.name for column in table.columns.values())
    return DeclarationProblem(field, f"{_full_name(table)} has no column {name!r}", f"name one of its columns: {there}")


def _full_name(table: SourceTable) -> str:
    return f"{table.database}.{table.name}"


def condition_problems(connection: Connection, spec: IndexSpec, table: SourceTable) -> list[DeclarationProblem]:
    """What MySQL finds wrong with the declared condition. Reads no row."""
    if not spec.source.where:
        return []
    condition = spec.source.where.replace("%", "%%")
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT 1 FROM {table.relation} WHERE (\n{condition}\n) LIMIT 0",
                (),
            )
    except pymysql.MySQLError as error:
        if not is_about_the_statement(error):
            raise
        return [
            DeclarationProblem(
                "source.where",
                f"MySQL refuses the condition over {_full_name(table)}: {error.args[-1]} (error {error.args[0]})",
                "write a condition over the table's columns, as it stands after WHERE",
            )
        ]
    return []


def key_content_problems(connection: Connection, spec: IndexSpec, table: SourceTable) -> list[DeclarationProblem]:
    """What is wrong with the key's values, where no unique index vouches for them. Makes the server read the key."""
    columns = [column for name in spec.source.key_columns if (column := table.column(name)) is not None]
    declared = {column.name.lower() for column in columns}
    if any(declared.issuperset(key) for key in table.unique_keys):
        return []
    names = ", ".join(identifier(column.name) for column in columns)
    present = " AND ".join(f"{identifier(column.name)} IS NOT NULL" for column in columns)
    condition = "(" + spec.source.where.replace("%", "%%") + ")" if spec.source.where else "1 = 1"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT COUNT(*) - COUNT(IF({present}, 1, NULL)), COUNT(IF({present}, 1, NULL)) - COUNT(DISTINCT {names})"
            f" FROM {table.relation} WHERE {condition}",
            (),
        )
        row = cursor.fetchone()
    assert row is not None
    missing, repeated = row
    remedy = "declare a unique key or a view with one"
    key = f"column {columns[0].name!r}" if len(columns) == 1 else f"({', '.join(column.name for column in columns)})"
    problems = []
    if missing:
        text = f"{key} is NULL in {missing} rows of {_full_name(table)}"
        problems.append(DeclarationProblem(_KEY_FIELD, text, remedy))
    if repeated:
        text = f"{key} is not unique in {_full_name(table)} ({repeated} repeated values)"
        problems.append(DeclarationProblem(_KEY_FIELD, text, remedy))
    return problems
