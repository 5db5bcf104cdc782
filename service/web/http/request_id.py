"""An id for every request: the client's own if it has a harmless form, else one that this process never gives twice."""

import re
from itertools import count

from sanic import Request

from service.ids import Ids

CLIENT_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}(?![\s\S])")


class RequestIds:
    def __init__(self, ids: Ids) -> None:
        self._prefix, self._count = ids.new(), count(1)

    def of(self, request: Request) -> str:
        return self.given(request.headers.get("x-request-id"))

    def given(self, given: str | None) -> str:
        if given is not None and CLIENT_FORM.match(given):
            return given
        return f"{self._prefix}-{next(self._count):x}"
