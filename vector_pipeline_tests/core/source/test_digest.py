"""The digest that MySQL computes is the one recomputed from what PostgreSQL stores, and every change changes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pymysql
import pytest

from vector_pipeline.core.errors import IndexSpecError
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all


def _spec(*columns: str, **changes: Any) -> IndexSpec:
    """An index over `faq` that embeds `question` and carries these columns along."""
    document = {"text": {"question": "question"}, "metadata": {column: column for column in columns}}
    return faq_spec(**({"document": document} | changes))


def _digests(index: VectorIndex) -> list[str | None]:
    index.detect()
    return [state.source_digest for state in index.ranges()]


def _assert_equal(workbench: Workbench, spec: IndexSpec) -> None:
    with workbench.index(spec) as index:
        report = index.verify()
    assert report.equal, report.differences


HARD_TO_SEE = {
    "'' becomes NULL": "UPDATE faq SET answer = NULL WHERE id = 1",
    "NULL becomes ''": "UPDATE faq SET answer = '' WHERE id = 2",
    "'ab','c' becomes 'a','bc'": "UPDATE faq SET question = 'a', answer = 'bc' WHERE id = 3",
    "two rows swap values": "UPDATE faq SET answer = IF(id = 4, 'five', 'four') WHERE id IN (4, 5)",
    "two rows change alike": "UPDATE faq SET answer = 'changed alike' WHERE id IN (6, 7)",
    "two rows that are alike but for the key go": "DELETE FROM faq WHERE id IN (6, 7)",
    "every row comes once more": "INSERT INTO faq (id, question) SELECT id + 100, question FROM faq",
    "a trailing space is added": "UPDATE faq SET answer = 'answer ' WHERE id = 8",
    "only the case changes": "UPDATE faq SET answer = 'ANSWER ' WHERE id = 8",
    "only an accent changes": "UPDATE faq SET answer = 'ÁNSWER ' WHERE id = 8",
    "a NUL character is added": "UPDATE faq SET answer = 'ÁNSWER\\0 ' WHERE id = 8",
    "a NUL character moves": "UPDATE faq SET answer = 'n\\0ul' WHERE id = 9",
    "one emoji becomes another": "UPDATE faq SET answer = '👩‍🚒' WHERE id = 10",
    "a value becomes the word null": "UPDATE faq SET answer = 'null' WHERE id = 11",
}


def test_each_change_that_is_hard_to_see_changes_the_digest_and_arrives(any_workbench: Workbench) -> None:
    spec = _spec("answer", "link")
    any_workbench.create_faq(0)
    any_workbench.mysql("ALTER TABLE faq MODIFY answer MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    any_workbench.mysql(
        "INSERT INTO faq (id, question, answer) VALUES (1, 'q', ''), (2, 'q', NULL), (3, 'ab', 'c'), (4, 'q', 'four'),"
        " (5, 'q', 'five'), (6, 'twin', 'alike'), (7, 'twin', 'alike'), (8, 'q', 'answer'), (9, 'q', 'nu\\0l'),"
        " (10, 'q', '👨‍🚒'), (11, 'q', NULL)"
    )
    any_workbench.sync(spec)
    _assert_equal(any_workbench, spec)
    with any_workbench.index(spec) as index:
        for name, change in HARD_TO_SEE.items():
            before = _digests(index)
            any_workbench.mysql(change)
            assert _digests(index) != before, name
            sync_all(index)
            assert index.verify().equal, name


@dataclass(frozen=True)
class Typed:
    """A column type with values that are hard to tell apart; the last two are a row before and after a change."""

    type: str
    values: tuple[str, ...]

    @property
    def change(self) -> tuple[str, str]:
        return self.values[-2], self.values[-1]


TYPES = {
    "tinyint": Typed("TINYINT", ("NULL", "-128", "0", "1")),
    "bigint unsigned": Typed("BIGINT UNSIGNED", ("0", "18446744073709551614", "18446744073709551615")),
    "zerofill": Typed("INT(8) ZEROFILL", ("0", "7", "70")),
    "decimal": Typed(
        "DECIMAL(65,30)", ("-0.5", "99999999999999999999999999999999999.1", "1.5", "1.500000000000000001")
    ),
    "decimal zerofill": Typed("DECIMAL(10,2) ZEROFILL", ("0", "1.50", "1.51")),
    "float": Typed("FLOAT", ("0", "-1.5e-30", "3.4e38", "16777215", "16777216")),
    "float(7,2)": Typed("FLOAT(7,2)", ("0", "-12345.67", "12345.67", "12345.68")),
    "float zerofill": Typed("FLOAT ZEROFILL", ("0", "1.5", "16777215", "16777216")),
    "double": Typed("DOUBLE", ("-0e0", "1e-300", "1.7e308", "0.3", "0.1e0 + 0.2e0")),
    "double zerofill": Typed("DOUBLE(20,10) ZEROFILL", ("0", "0.3", "0.3000000001")),
    "date": Typed("DATE", ("'0000-00-00'", "'2026-02-00'", "'9999-12-31'", "'2026-02-28'", "'2026-02-29'")),
    "datetime(6)": Typed("DATETIME(6)", ("'0000-00-00'", "'2026-01-02 03:04:05'", "'2026-01-02 03:04:05.000001'")),
    "timestamp(6)": Typed(
        "TIMESTAMP(6) NULL", ("'2038-01-19 03:14:07'", "'2026-01-02 03:04:05'", "'2026-01-02 03:04:05.000001'")
    ),
    "time(3)": Typed("TIME(3)", ("'-838:59:59'", "'00:00:00'", "'-00:00:01'", "'-00:00:01.001'")),
    "year": Typed("YEAR", ("0", "1901", "2155", "2026", "2027")),
    "json": Typed("JSON", ("NULL", "'null'", '\'{"a": [1, 1.0, "é👍"]}\'', "'[1, 2]'", "'[2, 1]'")),
    "enum": Typed("ENUM('', 'a', 'ö,b')", ("''", "'a'", "'ö,b'")),
    "set": Typed("SET('a', 'b', 'ö')", ("''", "'a'", "'a,ö'")),
    "bit": Typed("BIT(64)", ("0", "b'1'", "0xFFFFFFFFFFFFFFFE", "0xFFFFFFFFFFFFFFFF")),
    "boolean": Typed("BOOLEAN", ("NULL", "TRUE", "FALSE")),
    "char": Typed("CHAR(5)", ("''", "'a  '", "'a'", "'A'")),
    "varchar latin1": Typed("VARCHAR(20) CHARACTER SET latin1", ("'€ÿ'", "'café'", "'cafè'")),
    "text utf16": Typed("TEXT CHARACTER SET utf16", ("''", "'𝄞 é'", "'𝄞 è'")),
    "varchar binary collation": Typed("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", ("'a'", "'a '")),
    "long varchar": Typed("VARCHAR(2000)", ("''", "REPEAT('ä', 2000)", "CONCAT(REPEAT('ä', 1999), 'b')")),
    "binary": Typed("BINARY(4)", ("0x00", "0x00000001", "0x00000100")),
    "varbinary": Typed("VARBINARY(9)", ("''", "0xFF00", "0xFF0000")),
    "blob": Typed("BLOB", ("NULL", "''", "0x00FF27", "0x00FF28")),
    "longblob": Typed("LONGBLOB", ("REPEAT(0xFE, 1500000)", "REPEAT(0xFF, 1500000)")),
    "mediumtext over 1 MB": Typed("MEDIUMTEXT", ("REPEAT('ä', 1000000)", "CONCAT(REPEAT('ä', 999999), 'b')")),
    "point": Typed("POINT", ("NULL", "ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(2 1)')")),
    "geometry": Typed(
        "GEOMETRY", ("ST_GeomFromText('LINESTRING(0 0, 1 1)')", "ST_GeomFromText('LINESTRING(0 0, 1 2)')")
    ),
}


def _create_typed_table(workbench: Workbench) -> dict[str, str]:
    """The table `faq` with a column of each type, and a row for each position of their values; names by type."""
    names = {label: f"c{number}" for number, label in enumerate(TYPES)}
    columns = ", ".join(f"{names[label]} {typed.type}" for label, typed in TYPES.items())
    workbench.mysql(f"CREATE TABLE faq (id INT PRIMARY KEY, question TEXT, {columns}) CHARACTER SET utf8mb4")
    for row in range(max(len(typed.values) for typed in TYPES.values())):
        values = {names[label]: typed.values[row] for label, typed in TYPES.items() if row < len(typed.values)}
        workbench.mysql(
            f"INSERT INTO faq (id, question, {', '.join(values)}) VALUES ({row}, 'q', {', '.join(values.values())})",
            relaxed=True,
        )
    return names


def test_every_type_is_stored_as_mysql_says_it_and_its_smallest_change_is_noticed(any_workbench: Workbench) -> None:
    names = _create_typed_table(any_workbench)
    spec = _spec(*names.values(), range_size=1000)
    any_workbench.sync(spec)
    _assert_equal(any_workbench, spec)
    any_workbench.mysql("DELETE FROM faq")
    any_workbench.mysql("INSERT INTO faq (id, question) VALUES (1, 'q')")
    unnoticed = []
    with any_workbench.index(spec) as index:
        for label, typed in TYPES.items():
            before, after = typed.change
            any_workbench.mysql(f"UPDATE faq SET {names[label]} = {before} WHERE id = 1", relaxed=True)
            digest = _digests(index)
            any_workbench.mysql(f"UPDATE faq SET {names[label]} = {after} WHERE id = 1", relaxed=True)
            if _digests(index) == digest:
                unnoticed.append(label)
    assert unnoticed == []
    any_workbench.sync(spec)
    _assert_equal(any_workbench, spec)


def test_metadata_is_served_as_mysql_shows_it(any_workbench: Workbench) -> None:
    names = _create_typed_table(any_workbench)
    spec = _spec(*names.values())
    any_workbench.sync(spec)
    with any_workbench.index(spec) as index:
        [hit] = [hit for hit in index.search("q", limit=20).hits if hit.key == "1"]
    shown = {label: hit.metadata[name] for label, name in names.items()}
    assert shown["bigint unsigned"] == 18446744073709551614
    assert shown["zerofill"] == 7
    assert shown["datetime(6)"] == "2026-01-02 03:04:05.000000"
    assert shown["varchar latin1"] == "café"
    assert shown["varbinary"] == "FF00"
    assert shown["bit"] == "1"
    assert shown["year"] == "1901"


@pytest.mark.parametrize(
    ("key_type", "keys"),
    [
        pytest.param("BIGINT", [str(n) for n in range(-9, 9)] + [str(-(2**63)), str(2**63 - 1)], id="negative"),
        pytest.param("BIGINT UNSIGNED", ["0", "1", str(2**63 - 1), str(2**63), str(2**64 - 1)], id="unsigned"),
        pytest.param(
            "VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
            ["'a'", "'B'", "'c'", "'Ö'", "'ß'", "'0'", "'10'", "'9'", "'100%'", "'it''s'", "'emoji 👍'", "''"],
            id="case-insensitive text",
        ),
        pytest.param("VARCHAR(20) CHARACTER SET latin1", ["'é'", "'f'", "'z'", "'ÿ'", "'A'"], id="latin1 text"),
        pytest.param("CHAR(36) CHARACTER SET ascii", [f"'{n:08x}-x'" for n in range(12)], id="uuid as text"),
        pytest.param(
            "BINARY(16)",
            [f"UNHEX(LEFT(SHA2('{n}', 256), 32))" for n in range(14)] + ["UNHEX(REPEAT('00', 16))"],
            id="uuid as bytes",
        ),
    ],
)
def test_a_key_of_any_kind_cuts_ranges_and_keeps_their_order(
    any_workbench: Workbench, key_type: str, keys: list[str]
) -> None:
    spec = _spec(range_size=2)
    any_workbench.mysql(f"CREATE TABLE faq (id {key_type} PRIMARY KEY, question TEXT) CHARACTER SET utf8mb4")
    any_workbench.mysql("INSERT INTO faq VALUES " + ", ".join(f"({key}, 'question')" for key in keys))
    synced = any_workbench.sync(spec)
    assert (synced.inserted, len(synced.documents)) == (len(keys), (len(keys) + 1) // 2)
    _assert_equal(any_workbench, spec)
    in_order = [row[0] for row in any_workbench.mysql("SELECT HEX(id) FROM faq ORDER BY id")]
    stored = [row[0] for row in any_workbench.postgres("SELECT key FROM faq.documents ORDER BY sort_key")]
    as_hex = {}
    if "BINARY" not in key_type:
        as_hex = dict(any_workbench.mysql("SELECT CONVERT(id USING utf8mb4), HEX(id) FROM faq"))
    assert [as_hex.get(key, key) for key in stored] == in_order
    any_workbench.mysql(f"DELETE FROM faq WHERE id = {keys[3]}")
    any_workbench.mysql("UPDATE faq SET question = 'changed'")
    synced = any_workbench.sync(spec)
    assert (synced.updated, synced.deleted) == (len(keys) - 1, 1)
    _assert_equal(any_workbench, spec)


def test_a_key_that_changes_its_case_alone_arrives(any_workbench: Workbench) -> None:
    any_workbench.mysql("CREATE TABLE faq (id VARCHAR(20) PRIMARY KEY, question TEXT) CHARACTER SET utf8mb4")
    any_workbench.mysql("INSERT INTO faq VALUES ('key', 'q'), ('other', 'q')")
    any_workbench.sync(_spec())
    any_workbench.mysql("UPDATE faq SET id = 'KEY' WHERE id = 'key'")
    any_workbench.sync(_spec())
    _assert_equal(any_workbench, _spec())


@pytest.mark.parametrize("key_type", ["FLOAT", "DOUBLE", "ENUM('a', 'b')", "SET('a', 'b')", "BIT(8)", "TIME(3)"])
def test_a_type_that_cannot_be_a_key_is_refused_by_name(workbench: Workbench, key_type: str) -> None:
    workbench.mysql(f"CREATE TABLE faq (id {key_type} PRIMARY KEY, question TEXT)")
    with workbench.index(_spec()) as index, pytest.raises(IndexSpecError) as refusal:
        index.prepare()
    message = str(refusal.value)
    assert message.startswith("defs/faq/defs.yaml, source.primary_key: column 'id' of ")
    assert key_type.partition("(")[0].lower() in message
    assert "view" in message


def test_a_type_without_a_text_form_is_refused_by_name(any_workbench: Workbench) -> None:
    any_workbench.create_faq(1)
    try:
        any_workbench.mysql("ALTER TABLE faq ADD COLUMN v VECTOR(3)")
    except pymysql.MySQLError:
        pytest.skip("this server has no type VECTOR")
    with any_workbench.index(_spec("v")) as index, pytest.raises(IndexSpecError) as refusal:
        index.prepare()
    assert "document.metadata.v: column 'v' of" in str(refusal.value)
    assert "vector" in str(refusal.value)


def test_a_value_with_a_nul_that_was_damaged_in_the_target_is_noticed(workbench: Workbench) -> None:
    workbench.create_faq(0)
    workbench.mysql("INSERT INTO faq (id, question, answer) VALUES (1, 'n\\0ul', 'back\\\\000slash \\0')")
    workbench.sync(_spec("answer"))
    _assert_equal(workbench, _spec("answer"))
    workbench.postgres("""UPDATE faq.documents SET metadata = '{"answer": "damaged"}'""")
    with workbench.index(_spec("answer")) as index:
        assert index.verify(mark_dirty=True).differences[0].stale == ("1",)
    workbench.sync(_spec("answer"))
    _assert_equal(workbench, _spec("answer"))
