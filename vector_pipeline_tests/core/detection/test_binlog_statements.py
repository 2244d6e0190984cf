"""What a statement in the binary log means for the table `faq`."""

from __future__ import annotations

import pytest

from vector_pipeline.core.detection.binlog_statements import Statement, classify, xa_name


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("BEGIN", Statement.WITHOUT_EFFECT),
        ("SAVEPOINT `faq`", Statement.WITHOUT_EFFECT),
        ("ROLLBACK TO `faq`", Statement.WITHOUT_EFFECT),
        ("COMMIT", Statement.END_OF_TRANSACTION),
        ("ROLLBACK", Statement.END_OF_TRANSACTION),
        ("XA START X'61',X'',1", Statement.WITHOUT_EFFECT),
        ("XA END X'61',X'',1", Statement.XA_END),
        ("XA COMMIT X'61',X'',1", Statement.XA_COMMIT),
        ("XA ROLLBACK X'61',X'',1", Statement.XA_ROLLBACK),
        ("INSERT INTO faq VALUES (1)", Statement.ROWS_UNNAMED),
        ("/* from the shop */ update shop.faq set question = ''", Statement.ROWS_UNNAMED),
        ("INSERT INTO other VALUES ('the frequent question')", Statement.OTHER_TABLE),
        ("TRUNCATE TABLE faq", Statement.WHOLE_TABLE),
        ("-- all of it\n truncate shop.`FAQ`", Statement.WHOLE_TABLE),
        ("ALTER TABLE `faq` ADD COLUMN n INT", Statement.WHOLE_TABLE),
        ("/*!40000 ALTER TABLE `faq` DISABLE KEYS */", Statement.WHOLE_TABLE),
        ("/*M!100100 ALTER TABLE `faq` DISABLE KEYS */", Statement.WHOLE_TABLE),
        ("RENAME TABLE `_faq_new` TO faq", Statement.WHOLE_TABLE),
        ("CREATE TABLE faq_old LIKE other", Statement.OTHER_TABLE),
        ("ALTER TABLE faq2 ADD COLUMN n INT", Statement.OTHER_TABLE),
        ("# Dummy event replacing event type 160 that the slave cannot handle.", Statement.OTHER_TABLE),
        ("", Statement.OTHER_TABLE),
    ],
)
def test_a_statement_is_of_its_kind(statement: str, kind: Statement) -> None:
    assert classify(statement, "faq") is kind


def test_a_table_whose_name_can_be_written_in_any_character_set_is_meant_by_any_change_of_a_table() -> None:
    assert classify("TRUNCATE h\\xe4ufig", "häufig") is Statement.WHOLE_TABLE


def test_a_backtick_in_a_name_is_doubled() -> None:
    assert classify("TRUNCATE `fa``q`", "fa`q") is Statement.WHOLE_TABLE


def test_a_distributed_transaction_has_one_name_in_all_its_statements() -> None:
    assert xa_name("XA END X'61',X'62',1") == xa_name("XA COMMIT X'61',X'62',1") == "X'61',X'62',1"
