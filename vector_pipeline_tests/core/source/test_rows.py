"""What can't be read of a row is said, with the row and the column, and never taken for nothing."""

from __future__ import annotations

import pytest

from vector_pipeline.core.errors import SourceValueError
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only

WITH_A_FILE = {"text": {"question": "question"}, "metadata": {"file": "file"}}


def _mib(workbench: Workbench) -> int:
    return int(workbench.mysql("SELECT @@max_allowed_packet")[0][0]) >> 20


# On MariaDB, whose HEX() obeys max_allowed_packet; Oracle's gives values of any length.
def test_a_value_that_is_too_long_to_be_handed_over_is_named_and_never_taken_for_null(
    workbench: Workbench,
) -> None:
    spec = faq_spec(document=WITH_A_FILE)
    workbench.mysql("CREATE TABLE faq (id INT PRIMARY KEY, question TEXT, file LONGBLOB) CHARACTER SET utf8mb4")
    workbench.mysql("INSERT INTO faq VALUES (1, 'q', NULL), (2, 'q', NULL)")
    workbench.sync(spec)
    longer_than_half = (_mib(workbench) // 2 + 1) << 20
    workbench.mysql(f"UPDATE faq SET file = REPEAT('x', {longer_than_half}) WHERE id = 2")
    with workbench.index(spec) as index:
        assert index.detect().ranges_dirty == 1
        assert index.verify().differences[0].stale == ("2",)
    with pytest.raises(SourceValueError, match=r"id = '2', column 'file': .* raise max_allowed_packet"):
        workbench.sync(spec)
    workbench.mysql("UPDATE faq SET file = '' WHERE id = 2")
    assert workbench.sync(spec).updated == 1


@pytest.mark.parametrize("place", ["question", "link"])
def test_bytes_that_are_not_text_are_named_with_their_row_and_column(workbench: Workbench, place: str) -> None:
    workbench.create_faq(20)
    workbench.sync(question_only())
    # Half a surrogate, which MariaDB takes for a character.
    workbench.mysql(f"UPDATE faq SET {place} = CONVERT(0x61EDA080 USING utf8mb4) WHERE id = 7")
    with pytest.raises(SourceValueError, match=f"faq, id = '7', column '{place}': .* not valid UTF-8"):
        workbench.sync(question_only())
    workbench.mysql("UPDATE faq SET question = 'mended', link = 'mended' WHERE id = 7")
    assert workbench.sync(question_only()).updated == 1


def test_a_key_that_is_not_text_is_named(workbench: Workbench) -> None:
    workbench.mysql("CREATE TABLE faq (id VARCHAR(20) PRIMARY KEY, question TEXT) CHARACTER SET utf8mb4")
    workbench.mysql("INSERT INTO faq VALUES ('a', 'q'), (CONVERT(0x62EDA080 USING utf8mb4), 'q')")
    spec = faq_spec(document={"text": {"question": "question"}, "metadata": {}})
    with pytest.raises(SourceValueError, match=r"faq, id = 'b.+', column 'id': .* not valid UTF-8"):
        workbench.sync(spec)
