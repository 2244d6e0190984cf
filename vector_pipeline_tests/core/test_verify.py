"""The proof of parity names each damage by its key, and what it names is repaired by the next sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from vector_pipeline.core.reports import RangeDifference
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only

KINDS = ("missing", "stale", "orphaned", "passages", "vectors", "dishonest")


@dataclass(frozen=True)
class Damage:
    """Something done by hand to the target, and the keys that it must be named by, kind by kind."""

    statement: str
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


VECTOR_OF_5 = (
    "content_hash = (SELECT content_hash FROM faq.passages_1 WHERE key = '5' AND field = 'question')"
    " AND field = 'question'"
)
ZEROS = "'[0,0,0,0,0,0,0,0]'"
DAMAGES = {
    "a text is changed": Damage(
        "UPDATE faq.documents SET question = 'damaged' WHERE key = '5'", {"stale": ("5",), "passages": ("5",)}
    ),
    "metadata are changed": Damage(
        """UPDATE faq.documents SET metadata = metadata || '{"link": "damaged"}' WHERE key = '5'""", {"stale": ("5",)}
    ),
    "metadata lose a value": Damage(
        "UPDATE faq.documents SET metadata = metadata - 'link' WHERE key = '5'", {"stale": ("5",)}
    ),
    "metadata gain a value": Damage(
        """UPDATE faq.documents SET metadata = metadata || '{"more": 1}' WHERE key = '5'""", {"stale": ("5",)}
    ),
    "documents are deleted": Damage("DELETE FROM faq.documents WHERE key IN ('5', '150')", {"missing": ("5", "150")}),
    "a document is added": Damage(
        "INSERT INTO faq.documents (key, sort_key, range_id, question, metadata)"
        " SELECT '55555', sort_key, range_id, '', '{}' FROM faq.documents WHERE key = '5'",
        {"orphaned": ("55555",)},
    ),
    "a passage's hash is changed": Damage(
        "UPDATE faq.passages_1 SET content_hash = '\\x00' WHERE key = '5' AND field = 'question'",
        {"passages": ("5",), "vectors": ("5",)},
    ),
    "a passage is deleted": Damage(
        "DELETE FROM faq.passages_1 WHERE key = '5' AND field = 'question'", {"passages": ("5",)}
    ),
    "a passage is added": Damage(
        "INSERT INTO faq.passages_1 SELECT key, field, 1, content_hash, served_hash FROM faq.passages_1"
        " WHERE key = '5' AND field = 'question'",
        {"passages": ("5",)},
    ),
    "a row is found by another's vector": Damage(
        "UPDATE faq.passages_1 SET served_hash = (SELECT served_hash FROM faq.passages_1 WHERE key = '6'"
        " AND field = 'question') WHERE key = '5' AND field = 'question'",
        {"vectors": ("5",)},
    ),
    "a row is found by no vector": Damage(
        "UPDATE faq.passages_1 SET served_hash = NULL WHERE key = '5' AND field = 'question'", {"vectors": ("5",)}
    ),
    "a vector is deleted": Damage(f"DELETE FROM faq.vectors_1 WHERE {VECTOR_OF_5}", {"vectors": ("5",)}),
    "all vectors are deleted": Damage("TRUNCATE faq.vectors_1", {"vectors": tuple(map(str, range(1, 251)))}),
    "a vector is zeroed": Damage(
        f"UPDATE faq.vectors_1 SET embedding = {ZEROS} WHERE {VECTOR_OF_5}", {"dishonest": ("5",)}
    ),
    "a vector loses its size": Damage(
        f"UPDATE faq.vectors_1 SET embedding = '[1e-30,0,0,0,0,0,0,0]' WHERE {VECTOR_OF_5}", {"dishonest": ("5",)}
    ),
    "a document moves to another range": Damage(
        "UPDATE faq.documents SET range_id = (SELECT range_id FROM faq.documents WHERE key = '150') WHERE key = '5'",
        {"missing": ("5",), "orphaned": ("5",)},
    ),
    "a document moves to an earlier range": Damage(
        "UPDATE faq.documents SET range_id = (SELECT range_id FROM faq.documents WHERE key = '5') WHERE key = '150'",
        {"missing": ("150",), "orphaned": ("150",)},
    ),
    "documents move to no range": Damage(
        "UPDATE faq.documents SET range_id = 4242 WHERE key IN ('5', '150')",
        {"missing": ("5", "150"), "orphaned": ("150", "5")},
    ),
}


def _named(differences: tuple[RangeDifference, ...]) -> dict[str, set[str]]:
    found = {kind: {key for each in differences for key in getattr(each, kind)} for kind in KINDS}
    return {kind: keys for kind, keys in found.items() if keys}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_named_exactly_and_repaired_by_the_next_sync(workbench: Workbench, damage: Damage) -> None:
    spec = question_only()
    workbench.create_faq(250)
    workbench.sync(spec)
    workbench.postgres(damage.statement)
    with workbench.index(spec) as index:
        assert _named(index.verify().differences) == {kind: set(keys) for kind, keys in damage.named.items()}
        assert not index.verify(mark_dirty=True).equal
    workbench.sync(spec)
    with workbench.index(spec) as index:
        report = index.verify()
        assert report.equal, report.differences
        [hit] = index.search("question number 5?", limit=1).hits
    assert (hit.key, hit.score, hit.vector_behind) == ("5", pytest.approx(1), False)
    assert hit.texts["question"] == "question number 5?"


def test_verifying_alone_changes_nothing(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync()
    workbench.postgres(DAMAGES["a text is changed"].statement)
    with workbench.index() as index:
        assert not index.verify().equal
    assert workbench.sync().partitions == []


def test_only_ranges_that_differ_become_dirty(workbench: Workbench) -> None:
    workbench.create_faq(250)
    workbench.sync()
    workbench.postgres("UPDATE faq.documents SET question = 'damaged' WHERE key = '150'")
    with workbench.index() as index:
        [difference] = index.verify(mark_dirty=True).differences
        assert [state.partition for state in index.ranges() if state.dirty] == [difference.partition]
    assert (difference.rows, difference.source_rows, difference.target_rows) == (1, 100, 100)


def test_a_dishonest_vector_is_paid_for_once_more_and_no_other_is(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(50)
    workbench.sync()
    provider.reset()
    workbench.postgres(f"UPDATE faq.vectors_1 SET embedding = {ZEROS} WHERE {VECTOR_OF_5}")
    with workbench.index() as index:
        assert index.check_honesty() == ["5"]
        index.verify(mark_dirty=True)
    workbench.sync()
    assert provider.stats()["texts"] == provider.times_sent("question number 5?") == 1
    with workbench.index() as index:
        assert index.check_honesty() == []


def test_a_dishonest_vector_of_a_text_in_two_fields_is_replaced_by_its_twin(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(0)
    workbench.mysql("INSERT INTO faq (id, question, answer) VALUES (5, 'twin', 'twin')")
    workbench.sync()
    provider.reset()
    workbench.postgres(f"UPDATE faq.vectors_1 SET embedding = {ZEROS} WHERE {VECTOR_OF_5}")
    with workbench.index() as index:
        index.verify(mark_dirty=True)
    workbench.sync()
    assert provider.stats()["requests"] == 0
    with workbench.index() as index:
        assert index.verify().equal


def test_a_dishonest_vector_among_the_retired_does_not_come_back(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(question_only())
    workbench.mysql("UPDATE faq SET question = 'for a while' WHERE id = 5")
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        index.refresh_search_index()
    workbench.postgres(f"UPDATE faq.retired_vectors_1 SET embedding = {ZEROS}")
    workbench.mysql("UPDATE faq SET question = 'question number 5?' WHERE id = 5")
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        assert index.verify(mark_dirty=True).equal
        assert index.check_honesty() == []


def test_a_number_where_padding_should_be_is_dishonest(workbench: Workbench) -> None:
    padded = workbench.padded_to(16)
    padded.create_faq(5)
    padded.sync(question_only())
    padded.postgres(
        "UPDATE faq.vectors_1 SET embedding = (SELECT array_agg(0.25)::vector FROM generate_series(1, 16))"
        f" WHERE {VECTOR_OF_5}"
    )
    with padded.index(question_only()) as index:
        assert index.verify(mark_dirty=True).differences[0].dishonest == ("5",)
    padded.sync(question_only())
    with padded.index(question_only()) as index:
        assert index.verify().equal


def test_rows_that_are_not_synced_yet_are_differences(workbench: Workbench) -> None:
    workbench.create_faq(20)
    workbench.sync(faq_spec())
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    workbench.mysql("UPDATE faq SET link = 'new' WHERE id = 4")
    workbench.add_faq([21])
    with workbench.index() as index:
        found = _named(index.verify().differences)
    assert found == {"orphaned": {"3"}, "stale": {"4"}, "missing": {"21"}}


@pytest.mark.parametrize("twins", [1, 2])
def test_a_key_that_comes_again_in_a_view_is_named(workbench: Workbench, twins: int) -> None:
    spec = faq_spec(source={"table": "faq_view", "primary_key": "id"})
    workbench.create_faq(20)
    workbench.mysql("CREATE VIEW faq_view AS SELECT * FROM faq")
    workbench.sync(spec)
    again = " UNION ALL SELECT * FROM faq WHERE id = 7" * twins
    workbench.mysql(f"CREATE OR REPLACE VIEW faq_view AS SELECT * FROM faq{again}")
    with workbench.index(spec) as index:
        [difference] = index.verify().differences
    assert (difference.stale, difference.missing, difference.orphaned) == (("7",), (), ())
    assert (difference.source_rows, difference.target_rows) == (20 + twins, 20)


def test_progress_is_told_range_by_range(workbench: Workbench) -> None:
    workbench.create_faq(250)
    workbench.sync()
    told: list[tuple[int, int]] = []
    with workbench.index() as index:
        index.verify(on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
