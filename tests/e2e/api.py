"""A client that knows the published document and nothing else: each answer it gets is held against it."""

import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from jsonschema import Draft202012Validator

TIMEOUT_SECONDS = 30
PASSWORD = "correct horse battery staple"


class Contradiction(AssertionError):
    """The service did not do what its document says."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a refusal."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        code: str = self.json["code"]
        return code


class Document:
    def __init__(self, published: dict[str, Any]) -> None:
        self.published = published
        self._patterns = [
            (path.count("{"), re.compile(re.sub(r"\\?\{\w+\\?\}", "[^/]+", re.escape(path)) + r"/?(?![\s\S])"), path)
            for path in published["paths"]
        ]
        self._patterns.sort(key=lambda entry: entry[0])
        self.seen: set[tuple[str, str, int]] = set()
        self.codes: set[str] = set()

    def template(self, path: str) -> str | None:
        return next((template for _, pattern, template in self._patterns if pattern.match(path)), None)

    def check(self, method: str, path: str, answer: Answer) -> None:
        """Raises Contradiction unless the document announces this answer."""
        template = self.template(path)
        declared = self.published["paths"].get(template or "", {}).get(method.lower())
        if declared is None:
            if answer.status not in {200, 400, 404, 405} and path.startswith("/api"):
                raise Contradiction(f"{method} {path} is not described and answered {answer.status}")
            return
        what = f"{method} {template} → {answer.status}"
        response = declared["responses"].get(str(answer.status))
        if response is None:
            raise Contradiction(f"{what} is not announced: {answer.body[:300]!r}")
        response = self._resolve(response)
        if "x-request-id" not in answer.headers:
            raise Contradiction(f"{what} has no X-Request-ID")
        self._check_body(what, response.get("content"), answer)
        self.seen.add((method, template or "", answer.status))

    def _resolve(self, part: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in part:
            return part
        found: Any = self.published
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return found

    def _check_body(self, what: str, content: dict[str, Any] | None, answer: Answer) -> None:
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if content is None:
            if answer.body and kind.endswith("json"):
                raise Contradiction(f"{what} has a body nobody announced")
            return
        if kind not in content:
            raise Contradiction(f"{what} is {kind!r}, not one of {list(content)}")
        if not kind.endswith("json"):
            return
        schema = {**content[kind]["schema"], "components": self.published["components"]}
        for error in Draft202012Validator(schema).iter_errors(answer.json):
            raise Contradiction(f"{what}: {error.json_path} {error.message}: {answer.body[:300]!r}")
        if kind == "application/problem+json":
            self.codes.add(answer.json["code"])


class Api:
    """One caller of one service: nobody, or somebody with a bearer token or with cookies."""

    def __init__(self, url: str, document: Document, token: str | None = None) -> None:
        self.url, self.document, self.token = url, document, token
        self.cookies: dict[str, str] = {}
        self.user: dict[str, Any] = {}
        self._address = urlsplit(url).netloc
        self._local = threading.local()

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
        return self.call("GET", path, query=query, headers=headers)

    def post(self, path: str, body: Any = None, key: str | None = None, **more: Any) -> Answer:
        headers = dict(more.pop("headers", None) or {})
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.call("POST", path, body, headers=headers, **more)

    def put(self, path: str, body: Any, **more: Any) -> Answer:
        return self.call("PUT", path, body, **more)

    def patch(self, path: str, body: Any, **more: Any) -> Answer:
        return self.call("PATCH", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        return self.call("DELETE", path, **more)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        keep_cookies: bool = False,
    ) -> Answer:
        """`body` is sent as JSON; `raw` as it is, with a content type only if `headers` name one."""
        sent = {**self._headers(), **(headers or {})}
        content = raw
        if body is not None:
            content = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        target = f"{path}?{urlencode(query, doseq=True)}" if query else path
        answer = self._exchange(method, target, content, sent)
        if keep_cookies:
            self._keep(answer)
        self.document.check(method, path, answer)
        return answer

    def _headers(self) -> dict[str, str]:
        headers = {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return headers

    def _exchange(self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, target, content, dict(headers))
            response = connection.getresponse()
            found = SimpleCookie()
            for line in response.headers.get_all("set-cookie") or ():
                found.load(line)
            cookies = {name: morsel.value for name, morsel in found.items()}
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, response.read(), cookies)
        finally:
            connection.close()

    def _keep(self, answer: Answer) -> None:
        self.cookies |= answer.cookies
        self.cookies = {name: value for name, value in self.cookies.items() if value}

    def anonymous(self) -> "Api":
        return Api(self.url, self.document)

    def newcomer(self, name: str = "ada") -> "Api":
        """A fresh customer with a bearer token."""
        email = f"{name}-{uuid4().hex[:12]}@example.org"
        answer = self.anonymous().post("/api/auth/register", {"email": email, "password": PASSWORD, "name": "Ada L"})
        assert answer.status == 201, answer.body
        somebody = Api(self.url, self.document, answer.json["accessToken"])
        somebody.user = answer.json["user"]
        return somebody

    def pages(self, path: str, **query: Any) -> Iterator[list[Any]]:
        """A list, page by page."""
        cursor = None
        while True:
            answer = self.get(path, **query, **({} if cursor is None else {"cursor": cursor}))
            assert answer.status == 200, answer.body
            yield answer.json["items"]
            cursor = answer.json["nextCursor"]
            if cursor is None:
                return
