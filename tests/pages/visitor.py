"""A browser without scripts: keeps cookies, fills in forms as they stand on the page, follows where they lead."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import httpx
from browsed import PASSWORD


@dataclass
class PageForm:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[PageForm] = []
        self.links: list[str] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(PageForm(given.get("method", "get"), given.get("action", "")))
            self._open = True
        elif tag in {"input", "select"} and self._open and given.get("name"):
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "option" and self._open and not list(self.forms[-1].fields.values())[-1]:
            self.forms[-1].fields[list(self.forms[-1].fields)[-1]] = given.get("value", "")
        if address := given.get("href") or given.get("src") or given.get("action"):
            self.links.append(address)

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "form"


class Visitor(httpx.Client):
    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, headers={"Accept": "text/html,*/*;q=0.8"}, timeout=60)
        self.at = httpx.Response(200)

    def see(self, path: str, status: int = 200) -> str:
        self.at = self.get(path, follow_redirects=True)
        assert self.at.status_code == status, self.at.text
        return self.at.text

    def form(self, action: str) -> PageForm:
        return next(form for form in read(self.at.text).forms if form.action == action)

    def submit(self, action: str, status: int = 200, *, form: PageForm | None = None, **given: str) -> str:
        """Sends the form of the page that is seen, as a browser does, and shows where it leads."""
        form = form or self.form(action)
        assert form.method == "post"
        headers = {"Origin": str(self.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        self.at = self.post(action, data={**form.fields, **given}, headers=headers, follow_redirects=True)
        assert self.at.status_code == status, self.at.text
        return self.at.text

    @property
    def path(self) -> str:
        return self.at.url.raw_path.decode()

    def register(self, next_path: str = "/login") -> str:
        email = f"{uuid4().hex}@example.com"
        self.see(next_path)
        self.submit("/register", email=email, password=PASSWORD, name="Ada Buyer")
        return email

    def sign_in(self, email: str, path: str = "/login") -> None:
        self.see(path)
        self.submit("/login", email=email, password=PASSWORD)


def read(text: str) -> Any:
    reader = _Reader()
    reader.feed(text)
    return reader
