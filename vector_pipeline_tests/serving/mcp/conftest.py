"""Two tables with an index each: questions with answers, and orders with names and notes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.conftest import fresh_mysql_database, fresh_pg_database
from vector_pipeline_tests.serving.mcp.agent import Agent, agent_over_http
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench

ORDERS = [
    (1, "Ada Byron", "left at the neighbour's door", "open", "12.50"),
    (2, "Blaise Pascal", "customer asks for a refund, the parcel was damaged", "open", "40.00"),
    (3, "Carl Gauss", "wants express delivery to Goettingen", "closed", "7.25"),
    (4, "Dorothy Vaughan", "gift wrapping, invoice 10-2231 by mail", "open", "99.90"),
]


def create_orders(bench: Workbench) -> None:
    bench.mysql(
        "CREATE TABLE orders (order_no INT PRIMARY KEY, name VARCHAR(100), notes TEXT, status VARCHAR(20),"
        " amount DECIMAL(10, 2), card_number VARCHAR(30) DEFAULT '4111-1111') CHARACTER SET utf8mb4"
    )
    bench.mysql("INSERT INTO orders (order_no, name, notes, status, amount) VALUES (%s, %s, %s, %s, %s)", ORDERS)


def orders_spec() -> IndexSpec:
    return IndexSpec.model_validate(
        {
            "name": "orders",
            "source": {"table": "orders", "primary_key": "order_no", "where": "order_no < 1000"},
            "document": {
                "text": {"name": "name", "notes": "notes"},
                "metadata": {"status": "status", "amount": "amount"},
            },
            "embedding": {"strategy": "concat"},
            "search": {"threshold": -1.0},
        }
    )


def catalog_spec() -> IndexSpec:
    return IndexSpec.model_validate({"name": "catalog", "source": {"catalog": {}}, "search": {"threshold": -1.0}})


@pytest.fixture(scope="module")
def two_tables(mariadb: SourceSettings, pg_template: TargetSettings) -> Iterator[Workbench]:
    """Indexes `faq` and `orders`, both synced; for the tests of a file that only read."""
    with fresh_mysql_database(mariadb) as source, fresh_pg_database(pg_template) as target:
        bench = Workbench(source, target)
        bench.create_faq(rows=5)
        bench.sync(contract_spec())
        create_orders(bench)
        bench.sync(orders_spec())
        yield bench


@pytest.fixture(scope="module")
def live(two_tables: Workbench) -> Iterator[LiveServer]:
    """A server over both, with no Dagster behind it."""
    nowhere = ServingSettings(dagster_url=f"http://127.0.0.1:{choose_port()}")
    with live_server(two_tables, [contract_spec(), orders_spec()], nowhere) as server:
        yield server


@pytest.fixture(scope="module")
def agent(live: LiveServer) -> Iterator[Agent]:
    """A client of that server."""
    with agent_over_http(live.url) as agent:
        yield agent
