"""GET /documents on a live server."""

from __future__ import annotations

import httpx
import pytest

from vector_pipeline_tests.serving.serving import LiveServer
from vector_pipeline_tests.workbench import Workbench


def questions(answer: list[dict[str, str]]) -> list[str]:
    return [document["question"] for document in answer]


def test_all_rows_are_given_as_they_are_in_mysql_now_without_a_sync(live: LiveServer, bench: Workbench) -> None:
    bench.mysql("DELETE FROM faq WHERE id > 1")
    bench.mysql("INSERT INTO faq VALUES (2, 'Né à Łódź?', NULL, NULL, NULL)")

    answer = live.client.get("/documents")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == [
        {
            "question": "question number 1?",
            "answer": "the answer to number 1",
            "link": "https://example.org/1",
            "date": "2026-01-02 03:04:05",
        },
        {"question": "Né à Łódź?", "answer": "", "link": "", "date": ""},
    ]


def test_an_empty_table_is_an_empty_array(live: LiveServer, bench: Workbench) -> None:
    bench.mysql("DELETE FROM faq")

    assert live.client.get("/documents").text == "[]"


def test_tables_of_many_pages_are_given_whole_and_in_the_order_of_the_key(live: LiveServer, bench: Workbench) -> None:
    bench.add_faq(range(11, 2501))

    answer = live.client.get("/documents").json()

    assert questions(answer) == [f"question number {i}?" for i in range(1, 2501)]


def test_pages_follow_one_another_by_the_link_that_each_gives(live: LiveServer) -> None:
    url, pages = "/documents?limit=4", []
    while url:
        answer = live.client.get(url)
        pages.append(questions(answer.json()))
        url = answer.links.get("next", {}).get("url", "")

    assert [len(page) for page in pages] == [4, 4, 2]
    assert [question for page in pages for question in page] == [f"question number {i}?" for i in range(1, 11)]


def test_what_is_no_key_is_refused(live: LiveServer) -> None:
    answer = live.client.get("/documents", params={"after": "1 OR 1=1"})

    assert answer.status_code == 422
    assert "is no key of index 'faq'" in answer.text


def test_an_array_that_could_not_be_read_to_its_end_is_not_ended(live: LiveServer, bench: Workbench) -> None:
    bench.mysql("INSERT INTO faq VALUES (%s, 'long', %s, NULL, NULL)", [(i, "x" * 20_000) for i in range(1001, 2001)])

    with live.client.stream("GET", "/documents") as answer:
        chunks = answer.iter_bytes()
        first = next(chunks)
        bench.mysql("DROP TABLE faq")
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)

    assert first.startswith(b'[{"question": "question number 1?"')
