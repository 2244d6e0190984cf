"""A condition that an agent writes: what it may say, and what it can't do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vector_pipeline.core.declaration import static_problems
from vector_pipeline.core.errors import WhereClauseError
from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.catalog import SourceColumn, SourceTable, read_table
from vector_pipeline.core.source.connection import close, connect
from vector_pipeline.core.source.where_clause import read_where_clause, try_where_clause
from vector_pipeline_tests.servers import mysql_administrator
from vector_pipeline_tests.workbench import faq_spec

NAMES = ("id", "Status", "price", "qty", "note", "day", "active", "we`ird", "per%cent", "select")


def _column(name: str) -> SourceColumn:
    return SourceColumn(name, "int", "int", True, None, None, None, None)


ORDERS = SourceTable("shop", "orders", {name.lower(): _column(name) for name in NAMES}, (), is_view=False)


@pytest.mark.parametrize(
    ("written", "clause"),
    [
        ("status = 'published'", "`Status` = 'published'"),
        ('status = "it\'s"', "`Status` = 'it''s'"),
        ("orders.price > 10.5 AND qty IN (1, 2)", "(`price` > 10.5) AND (`qty` IN (1, 2))"),
        ("price > 1 OR qty = 2 AND NOT active", "(`price` > 1) OR ((`qty` = 2) AND (NOT `active`))"),
        ("note IS NOT NULL", "NOT (`note` IS NULL)"),
        ("note LIKE '10!%' ESCAPE '!'", "`note` LIKE '10!%' ESCAPE '!'"),
        ("note NOT LIKE 'x%'", "`note` NOT LIKE 'x%'"),
        ("day BETWEEN '2026-01-01' AND '2026-12-31'", "`day` BETWEEN '2026-01-01' AND '2026-12-31'"),
        ("YEAR(day) = 2026", "YEAR(`day`) = 2026"),
        ("LOWER(TRIM(note)) <> ''", "LOWER(TRIM(`note`)) <> ''"),
        ("CASE WHEN active THEN qty ELSE 0 END > 1", "(CASE WHEN `active` THEN `qty` ELSE 0 END) > 1"),
        ("price * (qty + 1) >= -3", "(`price` * (`qty` + 1)) >= (-3)"),
        ("`we``ird` = 1", "`we``ird` = 1"),
        ("`per%cent` % 2 = 1", "(`per%cent` % 2) = 1"),
        ("`select` <=> NULL", "`select` <=> NULL"),
        ("active", "`active`"),
        ("note = 'x\\' OR 1 = 1 -- '", "`note` = 'x'' OR 1 = 1 -- '"),
        ("note = 'a -- b /* c */ ; # d'", "`note` = 'a -- b /* c */ ; # d'"),
    ],
)
def test_a_condition_over_the_tables_columns_is_written_anew(written: str, clause: str) -> None:
    assert read_where_clause(written, ORDERS) == clause
    assert read_where_clause(clause, ORDERS) == clause
    source = faq_spec().source.model_copy(update={"where": clause})
    assert static_problems(faq_spec().model_copy(update={"source": source})) == []


REFUSED = {
    "comment": [
        "id = 1 -- ",
        "id = 1 --",
        "id = 1 -- and so on",
        "id = 1 #",
        "id = 1 # x",
        "id = 1 /* x */",
        "id = /* x */ 1",
        "/* x */ id = 1",
        "id = 1 /*! OR 1 = 1 */",
        "id = 1 /*!50000 UNION SELECT 1 */",
        "id = 1 /*M! OR 1 = 1 */",
        "id/**/=/**/1",
        "id = 1 /* never closed",
        "id = 1 /*+ MAX_EXECUTION_TIME(1) */",
        "--",
        "#",
    ],
    "second statement": [
        "id = 1; DROP TABLE orders",
        "id = 1;",
        ";",
        "id = 1; SELECT 1",
        "1 = 1); DROP TABLE orders; SELECT (1",
        "id = 1 ; SET GLOBAL general_log = 1",
        "'; DROP TABLE orders; --",
        "DELETE FROM orders",
        "DROP TABLE orders",
        "UPDATE orders SET id = 1",
        "INSERT INTO orders VALUES (1)",
        "SET @a = 1",
        "CALL shop.p()",
        "SHOW TABLES",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE orders",
        "HANDLER orders OPEN",
        "DO SLEEP(1)",
    ],
    "query": [
        "SELECT 1",
        "(SELECT 1)",
        "id = (SELECT 1)",
        "id IN (SELECT id FROM mysql.user)",
        "EXISTS (SELECT 1)",
        "NOT EXISTS (SELECT * FROM information_schema.tables)",
        "id = ANY (SELECT 1)",
        "id > ALL (SELECT 1)",
        "id = 1 UNION SELECT 1",
        "id = 1 UNION ALL SELECT user, password FROM mysql.user",
        "id IN (1, (SELECT password FROM mysql.user LIMIT 1))",
        "id IN (TABLE orders)",
        "id IN (VALUES ROW(1))",
        "(WITH x AS (SELECT 1) SELECT * FROM x) = 1",
        "IF((SELECT COUNT(*) FROM mysql.user) > 0, id, 0) = 1",
        "CASE WHEN (SELECT 1) THEN 1 END = 1",
        "COALESCE((SELECT 1), 2) = 1",
        "id BETWEEN (SELECT 1) AND 2",
        "note LIKE (SELECT 'x')",
    ],
    "the rest of a statement": [
        "id = 1 INTO OUTFILE '/tmp/x'",
        "id = 1 INTO DUMPFILE '/tmp/x'",
        "id = 1 INTO @a",
        "id = 1 FOR UPDATE",
        "id = 1 LOCK IN SHARE MODE",
        "id = 1 LIMIT 1",
        "id = 1 ORDER BY 1",
        "id = 1 GROUP BY id",
        "id = 1 HAVING 1 = 1",
        "id = 1 PROCEDURE ANALYSE()",
        "id = 1 WINDOW w AS ()",
        "WHERE id = 1",
        "id = 1, 2",
        "id = 1 AS x",
        "*",
        "id = *",
        "COUNT(*) > 1",
        "id = 1) OR (1 = 1",
        "id = 1)",
        "(id = 1",
        ") OR 1 = 1 OR (",
        "id = 'never closed",
        "id = `never closed",
        'id = "never closed',
        "",
        "   ",
    ],
    "function": [
        "SLEEP(10)",
        "id = SLEEP(10)",
        "id = 1 AND SLEEP(5)",
        "IF(id = 1, SLEEP(5), 0) = 0",
        "COALESCE(SLEEP(5), 1) = 1",
        "BENCHMARK(1000000, MD5(1)) = 0",
        "LOAD_FILE('/etc/passwd') IS NULL",
        "note = LOAD_FILE('/etc/passwd')",
        "GET_LOCK('x', 10) = 1",
        "RELEASE_LOCK('x') = 1",
        "MASTER_POS_WAIT('x', 1) IS NULL",
        "SOURCE_POS_WAIT('x', 1) IS NULL",
        "WAIT_FOR_EXECUTED_GTID_SET('x') = 1",
        "UUID() = note",
        "RAND() < 0.5",
        "NOW() > day",
        "CURRENT_TIMESTAMP > day",
        "CURDATE() = day",
        "SYSDATE() > day",
        "UNIX_TIMESTAMP() > 1",
        "USER() = note",
        "CURRENT_USER() = note",
        "CURRENT_USER = note",
        "DATABASE() = note",
        "SCHEMA() = note",
        "VERSION() = note",
        "CONNECTION_ID() = 1",
        "LAST_INSERT_ID(5) = 5",
        "ROW_COUNT() = 1",
        "FOUND_ROWS() = 1",
        "EXTRACTVALUE(1, CONCAT(0x7e, VERSION())) = 1",
        "UPDATEXML(1, CONCAT('~', note), 1) = 1",
        "EXP(710) > 1",
        "REPEAT('x', 1000000000) = note",
        "RPAD('x', 1000000000, 'y') = note",
        "SPACE(1000000000) = note",
        "note REGEXP '(a+)+$'",
        "note RLIKE 'x'",
        "REGEXP_LIKE(note, '(a+)+$')",
        "sys.sys_exec('id') = 0",
        "sys_eval('id') = 0",
        "shop.my_function(id) = 1",
        "my_function(id) = 1",
        "`SLEEP`(10) = 0",
        "SLEEP (10) = 0",
        "sLeEp(10) = 0",
        "MATCH (note) AGAINST ('x')",
        "JSON_EXTRACT(note, '$.x') = 1",
        "note->'$.x' = 1",
        "note->>'$.x' = 1",
        "CAST(note AS SIGNED) = 1",
        "CONVERT(note USING latin1) = 'x'",
        "BINARY note = 'x'",
        "note COLLATE utf8mb4_bin = 'x'",
        "AES_DECRYPT(note, 'x') = 'x'",
        "MAX(id) = 1",
        "ROW_NUMBER() OVER () = 1",
        "VALUES(id) = 1",
        "DEFAULT(id) = 1",
        "note SOUNDS LIKE 'x'",
        "1 MEMBER OF ('[1]')",
    ],
    "variable": [
        "@a = 1",
        "id = @a",
        "@a := 1",
        "(@a := id) = 1",
        "@@version = 'x'",
        "@@global.secure_file_priv IS NULL",
        "@@hostname LIKE 'a%'",
        "id = ?",
        "id = :id",
        "id = %s",
        "id = %(id)s",
        "id = {{ id }}",
        "id = ${id}",
    ],
    "another table": [
        "mysql.user.password = 'x'",
        "information_schema.tables.table_name = 'x'",
        "information_schema = 1",
        "shop.orders.id = 1",
        "users.id = 1",
        "password = 'x'",
        "nowhere = 1",
        "`id` = `nowhere`",
        "`orders`.`password` = 1",
        "id = published",
        "`id = 1 OR 1` = 1",
        "_rowid = 1",
    ],
    "literal": [
        "note = 'x\\'",
        "note = '\\\\'",
        "note LIKE '10\\%'",
        "note = 0x41",
        "note = x'41'",
        "note = b'1'",
        "note = _latin1 'x'",
        "note = N'x'",
        "note = 'a' 'b'",
        "note = 'a\0b'",
        "note = 'a\x1ab'",
        "day = DATE '2026-01-01'",
        "day > '2026-01-01' + INTERVAL 1 DAY",
        "id = 1abc",
        "id = .",
        "id = 1.2.3",
        "(id, qty) = (1, 2)",
        "ROW(id, qty) = ROW(1, 2)",
        "id IN ((1, 2))",
    ],
    "no condition": [
        "1",
        "'x'",
        "''",
        "NULL",
        "id + 1",
        "note AND 'x'",
        "id = 1 OR 1",
        "'' OR ''",
        "UPPER(note)",
        "price = qty < 3",
        "price < qty = 1",
        "id = qty LIKE 'x'",
        "!active",
        "id = 1 XOR qty = 2",
        "(" * 2000 + "id = 1" + ")" * 2000,
        " AND ".join(["id = 1"] * 900),
        "id IN (" + ", ".join(map(str, range(3000))) + ")",
        "note = '" + "x" * 9000 + "'",
        "NOT " * 3000 + "active",
    ],
}
ATTEMPTS = [pytest.param(text, id=f"{kind}: {text[:40]!r}") for kind, texts in REFUSED.items() for text in texts]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_whatever_else_is_refused(attempt: str) -> None:
    with pytest.raises(WhereClauseError):
        read_where_clause(attempt, ORDERS)


def test_a_refusal_names_what_is_wrong_and_what_is_allowed() -> None:
    with pytest.raises(WhereClauseError, match=r"no column 'staus'.*columns: id, Status, price"):
        read_where_clause("staus = 'x'", ORDERS)
    with pytest.raises(WhereClauseError, match=r"SLEEP is not allowed.*these functions are: ABS, CEIL"):
        read_where_clause("SLEEP(1) = 1", ORDERS)


_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\"), max_size=20)
_LITERALS = st.one_of(
    _TEXTS.map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.integers(0, 10**20).map(str),
    st.floats(0, 1e30).map(repr),
    st.sampled_from(["TRUE", "NULL"]),
)
_COLUMNS = st.sampled_from(NAMES).map(lambda name: "`" + name.replace("`", "``") + "`")
_VALUES = st.recursive(
    st.one_of(_COLUMNS, _LITERALS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/%&"), inner).map(" ".join),
        st.tuples(st.sampled_from(["LOWER", "ABS", "YEAR", "-"]), inner).map(lambda both: f"{both[0]}({both[1]})"),
        st.tuples(inner, inner).map(lambda both: f"COALESCE({both[0]}, {both[1]})"),
        inner.map(lambda value: f"({value})"),
    ),
    max_leaves=6,
)
_COMPARISONS = st.one_of(
    st.tuples(_VALUES, st.sampled_from(["=", "<>", "<", ">=", "<=>", "LIKE", "NOT LIKE"]), _VALUES).map(" ".join),
    st.tuples(_VALUES, _VALUES, _VALUES).map(lambda three: f"{three[0]} BETWEEN {three[1]} AND {three[2]}"),
    st.tuples(_VALUES, st.lists(_VALUES, min_size=1, max_size=3)).map(
        lambda both: f"{both[0]} IN ({', '.join(both[1])})"
    ),
    _VALUES.map(lambda value: f"{value} IS NOT NULL"),
)
CONDITIONS = st.recursive(
    _COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR", "||", "&&"]), inner).map(" ".join),
        inner.map(lambda condition: f"NOT ({condition})"),
        inner.map(lambda condition: f"({condition})"),
    ),
    max_leaves=5,
)


@given(CONDITIONS)
@settings(max_examples=100, deadline=None)
def test_what_is_written_anew_is_read_as_the_same_and_written_the_same(condition: str) -> None:
    clause = read_where_clause(condition, ORDERS)
    assert read_where_clause(clause, ORDERS) == clause


@given(st.text(max_size=40))
@settings(max_examples=150, deadline=None)
def test_no_text_at_all_gives_anything_but_a_condition_or_a_refusal(text: str) -> None:
    try:
        clause = read_where_clause(text, ORDERS)
    except WhereClauseError:
        return
    assert read_where_clause(clause, ORDERS) == clause


TRICKY = (
    "it's",
    "''",
    "' OR 1 = 1 -- ",
    '" OR ""="',
    "`x`",
    "100%",
    "%s %(x)s",
    "a_b",
    "line\nbreak\ttab\rreturn",
    "/*! x */ # -- ;",
    "日本語 🙂 \u00a0\u2028",
    "",
)


@pytest.mark.parametrize("text", TRICKY)
def test_mysql_reads_a_text_as_it_was_meant(any_mysql_database: SourceSettings, text: str) -> None:
    with mysql_administrator(any_mysql_database) as connection, connection.cursor() as cursor:
        cursor.execute(f"USE {any_mysql_database.database}")
        cursor.execute("CREATE TABLE notes (id INT PRIMARY KEY, note VARCHAR(100) COLLATE utf8mb4_bin)")
        cursor.executemany("INSERT INTO notes VALUES (%s, %s)", [(1, text), (2, "another")])
        connection.commit()
    source = connect(any_mysql_database)
    try:
        table = read_table(source, any_mysql_database.database, "notes")
        assert table is not None
        clause = read_where_clause("note = '" + text.replace("'", "''") + "'", table)
        try_where_clause(source, table, clause)
        with source.cursor() as cursor:
            cursor.execute(f"SELECT id FROM notes WHERE ({clause.replace('%', '%%')})", ())
            assert cursor.fetchall() == ((1,),)
    finally:
        close(source)


def test_mysql_has_the_last_word_in_a_transaction_that_leaves_nothing_behind(mysql_database: SourceSettings) -> None:
    with mysql_administrator(mysql_database) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {mysql_database.database}.notes (id INT PRIMARY KEY)")
    source = connect(mysql_database, statement_seconds=60)
    try:
        table = read_table(source, mysql_database.database, "notes")
        assert table is not None
        try_where_clause(source, table, "`id` = 1")
        with pytest.raises(WhereClauseError, match="Unknown column"):
            try_where_clause(source, table, "`nowhere` = 1")
        with source.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.max_statement_time, @@in_transaction")
            assert cursor.fetchone() == (60, 0)
    finally:
        close(source)
