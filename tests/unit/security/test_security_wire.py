"""Request heads: what two servers in a row could read in two ways is refused, what browsers send is not."""

import pytest

from service.web.security.connection import head_fault

GOOD = b"GET /api/products/?q=tea HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: M/5.0 (X11)\r\nAccept: */*"


@pytest.mark.parametrize(
    "head",
    [
        GOOD,
        GOOD + b"\r\nContent-Length: 12",
        GOOD + b"\r\ncontent-length:12  ",
        GOOD + b"\r\nTransfer-Encoding: chunked",
        GOOD + b"\r\nX-Empty:",
        GOOD + b"\r\nX-Latin: caf\xe9",
        GOOD + b"\r\nX-Tab: a\tb",
        GOOD + b"\r\nX-Colons: a:b:c",
    ],
)
def test_a_head_as_browsers_and_proxies_send_it_is_accepted(head: bytes) -> None:
    assert head_fault(head) is None


@pytest.mark.parametrize(
    "head",
    [
        GOOD + b"\r\nContent-Length : 12",
        GOOD + b"\r\n Content-Length: 12",
        GOOD + b"\r\nX-Folded: a\r\n b",
        GOOD + b"\r\nContent-Length: 12\nTransfer-Encoding: chunked",
        GOOD + b"\r\nContent-Length: 12\rX: y",
        GOOD + b"\r\nX: a\rb\nc",
        GOOD + b"\r\nX: a\n\rY: b",
        GOOD + b"\r\nX: a\rb\x00\x00\nc",
        GOOD + b"\r\nContent-Length: +12",
        GOOD + b"\r\nContent-Length: 0x0c",
        GOOD + b"\r\nContent-Length: 1_2",
        GOOD + b"\r\nContent-Length: 12, 12",
        GOOD + b"\r\nContent-Length:",
        GOOD + b"\r\nContent-Length: " + "１２".encode(),
        GOOD + b"\r\nContent-Length: 9999999999999999",
        GOOD + b"\r\nContent-Length: 12\r\nTransfer-Encoding: chunked",
        GOOD + b"\r\nTransfer-Encoding: chunked\r\nContent-Length: 12",
        GOOD + b"\r\nX: a\x00b",
        GOOD + b"\r\nX: a\x0bb",
        GOOD + b"\r\n: no name",
        GOOD + b"\r\nno colon",
        GOOD + b"\r\nX\xc3\xa9: y",
        GOOD + b"\r\nHost: other.example",
        GOOD.replace(b"Host: shop.example\r\n", b""),
        b"GET / HTTP/1.1",
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused(head: bytes) -> None:
    assert head_fault(head)
