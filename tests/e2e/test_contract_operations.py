"""Health, metrics, the document and its page."""

import re

from api import Api
from stacks import Stack


def test_the_process_lives_and_its_stores_answer(nobody: Api):
    assert nobody.get("/health/live").status == 200
    ready = nobody.get("/health/ready")
    assert ready.status == 200
    assert set(ready.json["stores"].values()) == {"up"}


def test_metrics_are_in_the_format_of_prometheus(nobody: Api):
    answer = nobody.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert re.search(r"^# TYPE \w+ (counter|gauge|histogram)$", answer.body.decode(), re.MULTILINE)


def test_the_document_is_openapi_3_1_and_is_not_sent_twice(nobody: Api):
    first = nobody.get("/openapi.json")
    assert first.json["openapi"].startswith("3.1")
    again = nobody.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_the_docs_page_shows_every_operation_and_loads_nothing_from_elsewhere(nobody: Api):
    page = nobody.get("/docs")
    assert page.status == 200
    text = page.body.decode()
    for methods in nobody.document.published["paths"].values():
        for described in methods.values():
            assert f'id="{described["operationId"]}"' in text
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", text)
    assert loaded
    assert [address for address in loaded if not address.startswith(("/", "#"))] == []
    assert "content-security-policy" in page.headers


def test_the_pages_for_people_are_there(nobody: Api):
    for path in ("/", "/ops"):
        page = nobody.get(path, headers={"Accept": "text/html"})
        assert page.status in {200, 401}
        assert page.headers["content-type"].startswith("text/html")


def test_after_all_that_the_books_are_right(stack: Stack):
    audit = stack.audit()
    assert audit["ok"], [check for check in audit["checks"] if not check["ok"]]
