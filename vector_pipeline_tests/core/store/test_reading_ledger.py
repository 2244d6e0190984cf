"""What an index owes for its reading is one account for all processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vector_pipeline.core.detection.round import Budget
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store.reading_ledger import ReadingLedger
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.workbench import Workbench, question_only


@contextmanager
def ledger(workbench: Workbench, name: str = "faq") -> Iterator[ReadingLedger]:
    """As a process of its own has it."""
    with store_connection.connect(workbench.target) as connection:
        yield ReadingLedger(lambda: connection, name)


@pytest.fixture
def registered(workbench: Workbench) -> Workbench:
    workbench.create_faq(30)
    workbench.sync(question_only())
    return workbench


def _throttled(rows_per_second: int) -> IndexSpec:
    throttle = {"rows_per_second": rows_per_second}
    return question_only(source={"table": "faq", "primary_key": "id", "throttle": throttle})


def test_an_index_that_was_never_throttled_owes_nothing(registered: Workbench) -> None:
    with ledger(registered) as account:
        assert account.owed() == 0


def test_what_two_processes_read_adds_up(registered: Workbench) -> None:
    with ledger(registered) as one, ledger(registered) as another:
        first, second = one.charge(300, 1, 600), another.charge(300, 1, 600)
        assert first is not None and second is not None
        assert 200 < first <= 299
        assert 500 < second <= 599
        assert one.owed() == pytest.approx(second, abs=100)


def test_what_was_saved_up_counts_up_to_the_credit(registered: Workbench) -> None:
    registered.postgres("UPDATE vector_pipeline.embedding_indexes SET reading_paid_until = now() - interval '1 hour'")
    with ledger(registered) as account:
        owed = account.charge(500, 100, 600)
        assert owed is not None and 300 < owed <= 400


def test_what_was_owed_counts_up_to_the_longest_debt(registered: Workbench) -> None:
    registered.postgres("UPDATE vector_pipeline.embedding_indexes SET reading_paid_until = now() + interval '1 day'")
    with ledger(registered) as account:
        owed = account.charge(500, 1, 600)
        assert owed is not None and 900 < owed <= 1100


def test_indexes_pay_each_for_themselves(registered: Workbench) -> None:
    registered.sync(question_only(name="another"))
    with ledger(registered) as account, ledger(registered, "another") as another:
        account.charge(500, 1, 600)
        assert another.owed() == 0


def test_an_index_that_is_not_registered_has_no_account(registered: Workbench) -> None:
    with ledger(registered, "stranger") as account:
        assert (account.charge(500, 1, 600), account.owed()) == (None, None)


def test_a_database_without_a_registry_has_no_account(bare_pg_database: TargetSettings) -> None:
    with postgres(bare_pg_database) as connection:
        account = ReadingLedger(lambda: connection, "faq")
        assert (account.charge(500, 1, 600), account.owed()) == (None, None)


def test_a_look_that_ends_in_debt_leaves_it_to_the_next_one(registered: Workbench) -> None:
    for rows_read in (30, 60):
        with registered.index(_throttled(1)) as index:
            assert index.detect(Budget(0, 0)).ranges_checked == 1
        with ledger(registered) as account:
            owed = account.owed()
            assert owed is not None and rows_read - 20 < owed < rows_read


def test_a_run_pays_for_what_it_reads(registered: Workbench) -> None:
    with registered.index(_throttled(1000)) as index:
        list(index.sync_documents([state.partition for state in index.ranges()]))
    [(kept,)] = registered.postgres("SELECT reading_paid_until IS NOT NULL FROM vector_pipeline.embedding_indexes")
    assert kept


def test_an_index_that_is_read_as_fast_as_may_be_keeps_no_account(registered: Workbench) -> None:
    assert registered.postgres("SELECT reading_paid_until FROM vector_pipeline.embedding_indexes") == [(None,)]
