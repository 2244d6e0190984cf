"""A declaration made of a table, some columns and little else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vector_pipeline.core.declaration import static_problems
from vector_pipeline.core.declaring import STRATEGIES, TableRequest, declaration_for_table, index_name
from vector_pipeline.core.errors import IndexSpecError
from vector_pipeline.core.index import open_index
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.workbench import Workbench, sync_all

ORDERS = """
CREATE TABLE orders (
    order_no VARCHAR(20) NOT NULL UNIQUE, id INT PRIMARY KEY, name VARCHAR(200), notes TEXT, details JSON,
    status VARCHAR(20), price DECIMAL(10, 2), placed DATETIME, `key` INT, `50%` INT, scan BLOB, api_key VARCHAR(50),
    long_text VARCHAR(5000)
) CHARACTER SET utf8mb4
"""


@pytest.fixture
def orders(workbench: Workbench) -> Workbench:
    workbench.mysql(ORDERS)
    workbench.mysql(
        "INSERT INTO orders (order_no, id, name, notes, status, price) VALUES (%s, %s, %s, %s, %s, 9.50)",
        [("A1", 1, "Tea", "Green leaves", "open"), ("A2", 2, "Coffee", "Dark beans", "closed")],
    )
    return workbench


@pytest.fixture
def source(orders: Workbench) -> Iterator[source_connection.Connection]:
    connection = source_connection.connect(orders.source)
    yield connection
    source_connection.close(connection)


def request(workbench: Workbench, **changes: Any) -> TableRequest:
    asked: dict[str, Any] = {"schema": workbench.source.database, "table": "orders", "columns": ["name", "notes"]}
    return TableRequest(**(asked | changes))


def declared(source: source_connection.Connection, workbench: Workbench, **changes: Any) -> IndexSpec:
    return declaration_for_table(source, request(workbench, **changes), workbench.embedding)


def test_what_is_left_out_is_chosen_from_the_catalogue(orders: Workbench, source: source_connection.Connection) -> None:
    spec = declared(source, orders)
    database = orders.source.database
    assert (spec.name, spec.source.database, spec.source.table) == (f"{database}_orders", database, "orders")
    assert spec.source.primary_key == "id"
    assert spec.document.text == {"name": "name", "notes": "notes"}
    assert spec.document.metadata == {
        "order_no": "order_no",
        "status": "status",
        "price": "price",
        "placed": "placed",
        "key_column": "key",
        "50_": "50%",
    }
    assert (spec.embedding.strategy, spec.embedding.model, spec.source.where) == ("separate", None, None)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_such_an_index_can_be_built_and_searched(
    orders: Workbench, source: source_connection.Connection, strategy: str
) -> None:
    spec = declared(source, orders, strategy=strategy, where_clause="status <> 'closed'")
    with open_index(spec, orders.settings) as index:
        assert index.check_declaration() == []
        assert sync_all(index).inserted == 1
        [hit] = index.search("Tea", threshold=-1.0).hits
    assert (hit.key, hit.metadata["price"], hit.metadata["status"]) == ("1", 9.5, "open")


def test_names_go_on_as_the_catalogue_writes_them(orders: Workbench, source: source_connection.Connection) -> None:
    spec = declared(source, orders, columns=["NAME"], primary_key=["ORDER_NO"], where_clause="STATUS = 'x'")
    assert (spec.document.text, spec.source.primary_key) == ({"name": "name"}, "order_no")
    assert spec.source.where == "`status` = 'x'"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "nowhere"}, r"no table or view .*nowhere.*name one of .*: orders"),
        ({"schema": "nowhere"}, r"no table or view nowhere\.orders.*name one of these schemas: "),
        ({"schema": "mysql", "table": "user"}, "the server's own"),
        ({"schema": "information_schema", "table": "TABLES"}, "the server's own"),
        ({"table": "orders` WHERE 1=1 -- "}, "no table or view"),
        ({"columns": []}, "no column to embed"),
        ({"columns": ["nmae"]}, r"no column 'nmae'; name some of: order_no, id, name"),
        ({"columns": ["name", "Name"]}, "more than once"),
        ({"columns": ["scan"]}, r"'scan' has type blob.*name some of: order_no"),
        ({"columns": ["name` FROM mysql.user -- "]}, "no column"),
        ({"primary_key": ["nr"]}, r"source\.primary_key.*no column 'nr'"),
        ({"strategy": "sum"}, "no strategy 'sum'; use separate, concat, average"),
        ({"where_clause": "nowhere = 1"}, r"source\.where.*no column 'nowhere'"),
        ({"where_clause": "1 = 1; DROP TABLE orders"}, "there is a ;"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(
    orders: Workbench, source: source_connection.Connection, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(IndexSpecError, match=said):
        declared(source, orders, **changes)
    assert orders.mysql("SELECT COUNT(*) FROM orders") == [(2,)]


def test_a_table_without_a_key_needs_one_named(orders: Workbench, source: source_connection.Connection) -> None:
    orders.mysql("CREATE VIEW open_orders AS SELECT id, name FROM orders WHERE status = 'open'")
    with pytest.raises(IndexSpecError, match="name the columns that do"):
        declared(source, orders, table="open_orders", columns=["name"])
    assert (
        declared(source, orders, table="open_orders", columns=["name"], primary_key=["id"]).source.primary_key == "id"
    )


def test_a_model_that_the_local_provider_has_not_is_refused_with_the_one_it_has(
    orders: Workbench, source: source_connection.Connection
) -> None:
    with pytest.raises(IndexSpecError, match=r"no model 'gpt-4'; use '.+'"):
        declaration_for_table(source, request(orders, model="gpt-4"), EmbeddingSettings())


def test_tables_whose_names_look_alike_get_indexes_of_different_names() -> None:
    assert index_name("shop", "orders") == "shop_orders"
    first = index_name("a_b", "c")
    assert index_name("a", "b_c", [first]) not in {first, first.upper()}
    assert index_name("shop", "orders!") != index_name("shop", "orders?")
    assert index_name("shop", "Orders") != index_name("shop", "orders")


@given(st.text(max_size=70), st.text(max_size=70))
def test_a_name_is_always_one_that_an_index_can_have(schema: str, table: str) -> None:
    name = index_name(schema, table)
    assert re.fullmatch(r"[a-z_][a-z0-9_]{0,47}", name)
    other = index_name(schema, table, [name])
    assert other.lower() != name.lower()
    spec = IndexSpec.model_validate(
        {"name": name, "source": {"table": "t", "primary_key": "id"}, "document": {"text": {"a": "a"}}}
    )
    assert static_problems(spec) == []
