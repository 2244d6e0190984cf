"""MySQL's catalog as an index: tables are found by what their names, columns, keys and comments say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from vector_pipeline.core.declaration import static_problems
from vector_pipeline.core.errors import IndexSpecError
from vector_pipeline.core.search.answer import Hit
from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import Declaration, UnknownIndexError, find_catalog, over_rows
from vector_pipeline_tests.servers import mysql_administrator
from vector_pipeline_tests.workbench import Workbench, faq_spec

SHOP = (
    "CREATE TABLE customers (id INT PRIMARY KEY, fullName VARCHAR(100) COMMENT 'as on the invoice', email VARCHAR(200))"
    " COMMENT 'People and companies that buy from us'",
    "CREATE TABLE customer_orders (id INT PRIMARY KEY, customer_id INT NOT NULL, ordered_at DATETIME,"
    " total DECIMAL(10, 2) COMMENT 'amount paid', FOREIGN KEY (customer_id) REFERENCES customers (id))"
    " COMMENT 'What customers purchased'",
    "CREATE TABLE orderItems (order_id INT, nr INT, product_id INT, quantity INT, PRIMARY KEY (order_id, nr),"
    " FOREIGN KEY (order_id) REFERENCES customer_orders (id))",
    "CREATE TABLE products (id INT PRIMARY KEY, title VARCHAR(100), price DECIMAL(10, 2)) COMMENT 'What is on sale'",
    "CREATE TABLE weather_stations (id INT PRIMARY KEY, latitude DOUBLE, longitude DOUBLE, altitude INT)",
    "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, applied DATETIME) COMMENT 'Deployed versions'",
    "CREATE TABLE employees (id INT PRIMARY KEY, surname VARCHAR(50), hired DATE, salary INT) COMMENT 'Payroll'",
    "CREATE TABLE audit_log (id BIGINT PRIMARY KEY, actor VARCHAR(50), action TEXT) COMMENT 'Who logged in and when'",
    "CREATE TABLE country_codes (code CHAR(2) PRIMARY KEY, name VARCHAR(80), continent VARCHAR(20))",
    "CREATE TABLE server_metrics (host VARCHAR(60), taken_at DATETIME, cpu DOUBLE, PRIMARY KEY (host, taken_at))",
)


def catalog_spec(database: str, **changes: Any) -> IndexSpec:
    """The declaration of the catalog of one database; `changes` are the catalog's own."""
    source = {"catalog": {"databases": [database]} | changes}
    return IndexSpec.model_validate({"name": "catalog", "source": source, "search": {"threshold": -1.0}})


@pytest.fixture
def shop(any_mysql_database: SourceSettings, pg_database: TargetSettings) -> Workbench:
    """Ten tables, of which four are about sales."""
    workbench = Workbench(any_mysql_database, pg_database)
    for statement in SHOP:
        workbench.mysql(statement)
    return workbench


def search(workbench: Workbench, spec: IndexSpec, query: str, **how: Any) -> list[Hit]:
    with workbench.index(spec) as index:
        return list(index.search(query, **how).hits)


def names(hits: list[Hit]) -> list[str]:
    return [str(hit.metadata["table"]) for hit in hits]


def is_in_parity(workbench: Workbench, spec: IndexSpec) -> bool:
    with workbench.index(spec) as index:
        return index.verify().equal


def test_tables_are_found_by_what_they_are_about(shop: Workbench) -> None:
    spec = catalog_spec(shop.source.database)
    assert shop.sync(spec).inserted == 10
    found = names(search(shop, spec, "find tables related to customer purchases", limit=3))
    assert found[0] == "customer_orders"
    assert {"customers", "customer_orders"} <= set(found)
    assert names(search(shop, spec, "order items", mode="text", limit=1)) == ["orderItems"]
    assert names(search(shop, spec, "customer orders", mode="text", limit=1)) == ["customer_orders"]
    assert names(search(shop, spec, "the full name as on an invoice", limit=1)) == ["customers"]
    assert is_in_parity(shop, spec)


def test_a_hit_tells_what_it_takes_to_query_the_table(shop: Workbench) -> None:
    spec = catalog_spec(shop.source.database)
    shop.mysql("CREATE VIEW buyers AS SELECT id, email FROM customers")
    shop.sync(spec)
    database = shop.source.database
    (hit,) = search(shop, spec, "customer orders", filter={"table": "customer_orders"})
    assert hit.key == f"{database}.customer_orders"
    assert hit.texts["comment"] == "What customers purchased"
    assert "total decimal(10,2): amount paid" in str(hit.texts["columns"]).splitlines()
    assert str(hit.texts["keys"]).splitlines() == [
        "primary key: id",
        f"foreign key: customer_id references {database}.customers (id)",
    ]
    facts = [hit.metadata[name] for name in ("database", "kind", "engine", "primary_key")]
    assert facts == [database, "table", "InnoDB", "id"]
    assert names(search(shop, spec, "customers", filter={"kind": "view"})) == ["buyers"]


def test_what_changes_in_the_catalog_reaches_the_index(shop: Workbench) -> None:
    spec = catalog_spec(shop.source.database)
    shop.sync(spec)
    shop.mysql("CREATE TABLE vouchers (id INT PRIMARY KEY, rebate INT) COMMENT 'Discounts for loyal buyers'")
    shop.mysql("ALTER TABLE weather_stations COMMENT 'Where rain is measured'")
    shop.mysql("ALTER TABLE products ADD COLUMN colour VARCHAR(20)")
    shop.mysql("DROP TABLE audit_log")
    synced = shop.sync(spec)
    assert (synced.inserted, synced.updated, synced.deleted) == (1, 2, 1)
    assert synced.embedding is not None and synced.embedding.texts_embedded == 3
    assert names(search(shop, spec, "discounts", mode="text", limit=1)) == ["vouchers"]
    assert names(search(shop, spec, "rain", mode="text", limit=1)) == ["weather_stations"]
    assert names(search(shop, spec, "colour", mode="text", limit=1)) == ["products"]
    assert "audit_log" not in names(search(shop, spec, "who logged in", limit=20))
    assert is_in_parity(shop, spec)


def test_rows_that_come_and_go_cost_no_embedding(shop: Workbench) -> None:
    spec = catalog_spec(shop.source.database)
    shop.sync(spec)
    add_countries(shop, range(60))
    synced = shop.sync(spec)
    assert (synced.inserted, synced.updated, synced.deleted) == (0, 1, 0)
    assert synced.embedding is not None and synced.embedding.texts_embedded == 0
    assert names(search(shop, spec, "countries", filter={"about_rows": {">=": 100}})) == ["country_codes"]
    add_countries(shop, range(60, 90))
    assert shop.sync(spec).documents == ()


def add_countries(workbench: Workbench, numbers: range) -> None:
    """Rows, counted by the server."""
    workbench.mysql("INSERT INTO country_codes VALUES (%s, 'somewhere', '')", [(f"{i:02d}",) for i in numbers])
    workbench.mysql("ANALYZE TABLE country_codes")


def test_what_is_excluded_is_not_in_the_index(shop: Workbench) -> None:
    database = shop.source.database
    spec = catalog_spec(database, exclude=["*_log", f"{database}.server_*", "order_tems", "%"], statistics=False)
    shop.sync(spec)
    hits = search(shop, spec, "anything", mode="vector", limit=20)
    assert {table.split()[2] for table in SHOP} - set(names(hits)) == {"audit_log", "server_metrics"}
    assert {hit.metadata["about_rows"] for hit in hits} == {None}


def test_names_that_differ_in_case_or_hold_anything_are_tables_of_their_own(
    any_mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    workbench = Workbench(any_mysql_database, pg_database)
    strange = ["orders", "Orders", "a.b", "50% 'off'", "back\\slash", "tick`", "größe", "\u5ba2\u6237"]
    for name in strange:
        workbench.mysql(f"CREATE TABLE `{name.replace('`', '``')}` (`x%s` INT PRIMARY KEY COMMENT '%d')")
    spec = catalog_spec(workbench.source.database).model_copy(update={"range_size": 2})
    assert workbench.sync(spec).inserted == len(strange)
    assert sorted(names(search(workbench, spec, "x", mode="vector", limit=20))) == sorted(strange)
    assert is_in_parity(workbench, spec)
    assert workbench.sync(spec).documents == ()


@contextmanager
def reader_of(source: SourceSettings, *tables: str) -> Iterator[SourceSettings]:
    """An account that may SELECT from these tables and nothing else."""
    with mysql_administrator(source) as administrator, administrator.cursor() as cursor:
        cursor.execute("CREATE USER catalog_reader@'%' IDENTIFIED BY 'secret'")
        try:
            for table in tables:
                cursor.execute(f"GRANT SELECT ON {source.database}.{table} TO catalog_reader@'%'")
            yield replace(source, user="catalog_reader", password="secret")
        finally:
            cursor.execute("DROP USER catalog_reader@'%'")


def test_an_account_indexes_what_it_may_read_and_no_more(shop: Workbench) -> None:
    with reader_of(shop.source, "customers", "customer_orders") as reader:
        restricted = replace(shop, source=reader)
        spec = catalog_spec(shop.source.database)
        assert restricted.sync(spec).inserted == 2
        (hit,) = search(restricted, spec, "purchases", limit=1)
        assert "foreign key: customer_id" in str(hit.texts["keys"])
        assert is_in_parity(restricted, spec)
        with pytest.raises(IndexSpecError, match=r"may not see 'elsewhere'; there are: .*GRANT SELECT"):
            restricted.sync(catalog_spec("elsewhere"))


def test_the_registry_keeps_what_the_declaration_left_out() -> None:
    spec = catalog_spec("shop")
    assert (spec.search.mode, spec.embedding.strategy, spec.source.key_columns) == ("hybrid", "concat", ("name",))
    assert IndexSpec.model_validate_json(spec.model_dump_json()) == spec
    assert static_problems(spec) == []


def test_what_is_declared_stands() -> None:
    spec = IndexSpec.model_validate(
        {
            "name": "tables",
            "source": {"catalog": {}, "where": "kind = 'table'"},
            "document": {"text": {"about": "title"}},
            "embedding": {"template": "{{ about }}"},
            "search": {"mode": "vector"},
        }
    )
    assert static_problems(spec) == []
    assert (spec.search.mode, spec.search.text, spec.embedding.strategy) == ("vector", None, None)
    assert dict(spec.document.text) == {"about": "title"}


@pytest.mark.parametrize(
    "wrong", [{"table": "orders"}, {"database": "shop"}, {"primary_key": "id"}, {"updated_at": "x"}, {"binlog": True}]
)
def test_a_catalog_has_nothing_of_a_table(
    mysql_database: SourceSettings, pg_database: TargetSettings, wrong: dict[str, object]
) -> None:
    spec = IndexSpec.model_validate({"name": "catalog", "source": {"catalog": {}} | wrong})
    with pytest.raises(IndexSpecError, match=f"source.{next(iter(wrong))}"):
        Workbench(mysql_database, pg_database).sync(spec)


def test_a_source_is_a_table_or_the_catalog() -> None:
    spec = IndexSpec.model_validate({"name": "faq", "source": {"primary_key": "id"}, "document": {"text": {"q": "q"}}})
    assert [problem.field for problem in static_problems(spec)] == ["source.table"]


def declared(*specs: IndexSpec) -> list[Declaration]:
    return [Declaration(spec, "defs.yaml") for spec in specs]


def test_who_asks_for_tables_is_led_to_the_catalog() -> None:
    other = catalog_spec("shop").model_copy(update={"name": "warehouse"})
    declarations = declared(faq_spec(), other, catalog_spec("shop"))
    assert find_catalog(declarations).spec.name == "catalog"
    assert find_catalog(declarations[:2]).spec.name == "warehouse"
    assert [one.spec.name for one in over_rows(declarations)] == ["faq"]
    with pytest.raises(UnknownIndexError, match=r"source: \{catalog: \{\}\}.*vector-pipeline sync catalog"):
        find_catalog(declarations[:1])


def test_rows_are_shown_only_where_that_is_declared(shop: Workbench) -> None:
    shop.mysql("CREATE TABLE unordered (word VARCHAR(20))")
    shop.mysql("INSERT INTO unordered VALUES ('zebra')")
    shop.mysql("ALTER TABLE products ADD COLUMN (`se%s` BLOB, api_key VARCHAR(20), `of 50%` INT)")
    rows = [(i, f"bicycle '{i}'", i + 0.5, b"binary", "hidden", None) for i in range(1, 6)]
    shop.mysql("INSERT INTO products VALUES (%s, %s, %s, %s, %s, %s)", rows)
    spec = catalog_spec(shop.source.database, samples=2)
    shop.sync(spec)
    (hit,) = search(shop, spec, "bicycle", mode="text")
    assert str(hit.texts["samples"]).splitlines() == [
        "id: 1, title: bicycle '1', price: 1.50",
        "id: 2, title: bicycle '2', price: 2.50",
    ]
    assert search(shop, spec, "zebra", mode="text") == []
    assert is_in_parity(shop, spec)
    shop.mysql("DELETE FROM products WHERE id = 5")
    assert shop.sync(spec).documents == ()
    shop.mysql("UPDATE products SET title = 'tricycle' WHERE id = 2")
    assert shop.sync(spec).updated == 1
    assert names(search(shop, spec, "tricycle", mode="text")) == ["products"]
    without = catalog_spec(shop.source.database).model_copy(update={"name": "without_rows"})
    shop.sync(without)
    assert search(shop, without, "tricycle", mode="text") == []


def test_rows_that_may_not_be_read_are_not_shown(shop: Workbench) -> None:
    shop.mysql("INSERT INTO employees VALUES (1, 'Tan', '2026-01-02', 5000)")
    with reader_of(shop.source, "customers") as reader:
        with mysql_administrator(shop.source) as administrator, administrator.cursor() as cursor:
            cursor.execute(f"GRANT SELECT (id) ON {shop.source.database}.employees TO catalog_reader@'%'")
            cursor.execute(f"GRANT INSERT ON {shop.source.database}.products TO catalog_reader@'%'")
        restricted = replace(shop, source=reader)
        spec = catalog_spec(shop.source.database, samples=3)
        assert restricted.sync(spec).inserted == 3
        samples = {hit.metadata["table"]: hit.texts["samples"] for hit in search(restricted, spec, "x", mode="vector")}
        assert samples == {"customers": None, "employees": "id: 1", "products": None}


def test_a_wide_table_is_read_whole(any_mysql_database: SourceSettings, pg_database: TargetSettings) -> None:
    workbench = Workbench(any_mysql_database, pg_database)
    columns = ", ".join(f"column_{number} TINYINT COMMENT '{'x' * 100}'" for number in range(100))
    workbench.mysql(f"CREATE TABLE wide (id INT PRIMARY KEY, {columns}, rearmost ENUM('{'e' * 250}'))")
    spec = catalog_spec(workbench.source.database)
    workbench.sync(spec)
    (hit,) = search(workbench, spec, "rearmost", mode="text")
    lines = str(hit.texts["columns"]).splitlines()
    assert len(lines) == 102
    assert lines[-1].startswith("rearmost enum('eeee") and lines[-1].endswith("…")
    assert is_in_parity(workbench, spec)
