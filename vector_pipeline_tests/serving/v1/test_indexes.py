"""What /v1 tells of indexes and their documents, on a live server."""

from __future__ import annotations

import pytest

from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench


def test_the_list_names_each_index_with_what_is_served_of_it(served: LiveServer) -> None:
    faq, unsynced = served.client.get("/v1/indexes").json()["indexes"]

    assert (faq["index"], faq["served"]["generation"]) == ("faq", 1)
    assert (unsynced["index"], unsynced["served"]) == ("unsynced", None)


def test_a_description_tells_what_searches_and_filters_take(served: LiveServer) -> None:
    found = served.client.get("/v1/indexes/faq").json()

    assert found["source"]["table"] == "faq"
    assert found["source"]["primary_key"] == ["id"]
    assert found["defaults"] == {"mode": "vector", "limit": 5, "threshold": -1.0, "reranks": False}
    assert found["served"]["fields"] == ["question", "answer"]
    date, link = sorted(found["served"]["metadata"], key=lambda column: str(column["name"]))
    assert (link["name"], link["kind"], "prefix" in link["operators"]) == ("link", "text", True)
    assert (date["name"], date["kind"], "prefix" in date["operators"]) == ("date", "date and time", False)
    assert found["served"]["methods"] == {"question": "exact", "answer": "exact"}


def test_the_status_needs_no_mysql(bench: Workbench) -> None:
    bench.mysql("DROP TABLE faq")
    with live_server(bench, [contract_spec()]) as server:
        status = server.client.get("/v1/indexes/faq/status").json()
        cost = server.client.get("/v1/indexes/faq/cost").json()

    assert (status["documents"], status["passages"], status["coverage"], status["ranges_dirty"]) == (10, 20, 1.0, 0)
    assert status["lag"] == {"ranges": 0, "rows": 0, "seconds": 0.0}
    assert (cost["total"]["texts"], cost["total"]["cost"], cost["estimate"]) == (20, 0.0, None)


def test_the_generations_tell_what_is_served_and_what_is_not(served: LiveServer) -> None:
    found = served.client.get("/v1/indexes/faq/generations").json()

    [generation] = found["generations"]
    assert (generation["number"], generation["standing"], generation["coverage"]) == (1, "served", 1.0)
    assert (found["asked_for"], found["rolled_back"], found["obstacles"]) == (None, False, [])


def test_an_estimate_tells_what_is_missing(served: LiveServer) -> None:
    found = served.client.get("/v1/indexes/unsynced/cost", params={"estimate": True}).json()["estimate"]

    assert (found["rows"], found["texts"], found["cost"]) == (10, 20, 0.0)


def test_a_document_is_read_by_its_key(served: LiveServer) -> None:
    found = served.client.get("/v1/indexes/faq/documents/7").json()

    assert found["key"] == "7"
    assert found["texts"] == {"question": "question number 7?", "answer": "the answer to number 7"}
    assert found["metadata"]["link"] == "https://example.org/7"
    assert (found["passages"], found["behind"], found["without_vector"], found["quarantined"]) == (2, 0, 0, 0)


def test_documents_are_read_by_their_keys_in_their_order(served: LiveServer) -> None:
    found = served.client.get("/v1/indexes/faq/documents", params={"keys": ["9", "77", "2", "9", "\0"]}).json()

    assert [document["key"] for document in found["documents"]] == ["9", "2"]
    assert found["missing"] == ["77", "\0"]


def test_pages_give_each_document_once(served: LiveServer) -> None:
    keys, after = [], None
    while True:
        asked = {"limit": 4} | ({} if after is None else {"after": after})
        page = served.client.get("/v1/indexes/faq/documents", params=asked).json()
        keys += [document["key"] for document in page["documents"]]
        after = page["next_after"]
        if after is None:
            break
    assert sorted(keys, key=int) == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/indexes/nobody", 404, "no index 'nobody' is declared"),
        ("/v1/indexes/nobody/status", 404, "no index 'nobody' is declared"),
        ("/v1/indexes/unsynced/generations", 409, "vector-pipeline sync unsynced"),
        ("/v1/indexes/unsynced/documents", 409, "vector-pipeline sync unsynced"),
        ("/v1/indexes/faq/documents/99", 404, "no document with the key '99'"),
        ("/v1/indexes/faq/documents/a%2Fb", 404, "no document with the key 'a/b'"),
        ("/v1/indexes/faq/documents/%00", 404, "no document"),
        ("/v1/indexes/faq/documents/%FF", 404, "no document"),
        ("/v1/indexes/faq/documents?after=%00", 422, "is no key"),
        ("/v1/indexes/faq/documents?limit=0", 422, "limit"),
        ("/v1/indexes/faq/documents?keys=1&after=2", 422, "not both"),
        ("/v1/indexes/%00/status", 404, "declared"),
    ],
)
def test_what_is_not_there_is_said_so(served: LiveServer, path: str, status: int, said: str) -> None:
    answer = served.client.get(path)

    assert answer.status_code == status, answer.text
    assert said in answer.text


def test_a_wrong_method_is_told_the_right_ones(served: LiveServer) -> None:
    answer = served.client.put("/v1/indexes/faq")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET")
