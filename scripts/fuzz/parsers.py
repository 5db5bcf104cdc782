#!/usr/bin/env python3
"""Fuzzes the parsers that read what anybody sends: Accept, Accept-Encoding, If-None-Match, cursors, addresses, percent
encoding, request heads, e-mail addresses, where a sign-in leads back to, amounts of money as shown and as typed. Each
must answer or refuse; anything else it raises is a crash, and printed.

    .venv/bin/python scripts/fuzz/parsers.py --inputs 100000 --seed 1    # exit 1 after any crash
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from service import money
from service.email_address import parse_address
from service.errors import Problem
from service.pages.own_path import own_path
from service.pages.render import duration
from service.setting_kinds import networks
from service.web.http import accept, accept_encoding, cursor
from service.web.http.client_address import normalized
from service.web.http.compress import etag_matches
from service.web.http.reading import segment
from service.web.security.connection import head_fault

CURRENCIES = ("GBP", "JPY", "KWD", "EUR", "INR", "CLF")
SEEDS = {
    "accept": ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json;q=0.5"],
    "accept-encoding": ["gzip, br;q=0.8, *;q=0", "identity;q=0", "zstd"],
    "if-none-match": ['W/"abc", "def"', "*", '"'],
    "cursor": [cursor.encode(["2026-01-31T12:00:00Z", "x"]), cursor.encode([1, None, "a"]), "===="],
    "address": ["203.0.113.9:80", "[2001:db8::1%eth0]:443", "::ffff:203.0.113.9"],
    "networks": ["10.0.0.0/8,2001:db8::/32", "::ffff:10.0.0.0/104", "[::1]:80"],
    "segment": ["Home%20Decor", "%E8%8C%B6", "%C3%28", "%%%2"],
    "head": [
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2",
        "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked",
    ],
    "amount": ["1299", "-1", "0", "1000000000000"],
    "price": ["10,50 €", "£1,299.00", "1.234,5", "1'234.50", "1 234,50", "1,00,000"],
    "e-mail": ["ada@example.com", '"a b"@xn--bcher-kva.example', "a@[127.0.0.1]", "茶@茶.example"],
    "own path": ["/orders?next=/cart", "//evil.example", "/\\\\evil", "https:/evil"],
}
PARSERS: dict[str, Callable[[str], Any]] = {
    "accept": accept.prefers_html.__wrapped__,
    "accept-encoding": lambda text: accept_encoding.choose.__wrapped__(text, ("zstd", "br", "gzip")),
    "if-none-match": lambda text: etag_matches(text, 'W/"abc"'),
    "cursor": lambda text: cursor.decode(text, cursor.TimePosition),
    "address": normalized,
    "networks": networks,
    "segment": lambda text: segment(text.encode("ascii", "ignore").decode()),  # as any URL that gets this far
    "head": lambda text: head_fault(text.encode("utf-8", "surrogateescape")),
    "amount": lambda text: (_spoken(text), duration(len(text) * 37.5)),
    "price": lambda text: money.parse(text, CURRENCIES[len(text) % len(CURRENCIES)]),
    "e-mail": parse_address,
    "own path": own_path,
}
REFUSALS: dict[str, type[Exception]] = {"networks": ValueError, "price": money.NotMoney}
ODD = [
    "",
    " ",
    "\t",
    "\0",
    "\r\n",
    ",",
    ";",
    "=",
    "q=",
    '"',
    "*",
    "%",
    "%2F",
    "é",
    "茶",
    "\udcff",
    "9" * 40,
    "/" * 9,
    ".",
    "-",
]
LENGTH_MAX = 2_000


def _spoken(text: str) -> str:
    """What is shown of an amount can be typed back."""
    digits = "".join(sign for sign in text if sign in "0123456789")[:15]
    amount, currency = int(digits or 0), CURRENCIES[len(text) % len(CURRENCIES)]
    money.spoken(-amount, currency)
    if money.parse(money.spoken(amount, currency), currency) != amount:
        raise AssertionError(f"{amount} {currency} does not come back")
    return money.spoken(amount, currency)


def mutated(text: str, chance: random.Random) -> str:
    """One of the seeds with pieces cut, doubled, swapped and put in."""
    for _ in range(chance.randint(0, 6)):
        place, length = chance.randint(0, len(text)), chance.randint(0, 8)
        match chance.randint(0, 3):
            case 0:
                text = text[:place] + text[place + length :]
            case 1:
                text = text[:place] + chance.choice(ODD) + text[place:]
            case 2:
                text = text[:place] + text[place : place + length] * 3 + text[place:]
            case 3:
                text = (
                    text[:place]
                    + chr(chance.choice([chance.randint(0, 127), chance.randint(0, 0x2FFF)]))
                    + text[place:]
                )
    return text[:LENGTH_MAX]


def crashes(name: str, inputs: int, chance: random.Random) -> list[tuple[str, Exception]]:
    found = []
    for _ in range(inputs):
        text = mutated(chance.choice(SEEDS[name]), chance)
        try:
            PARSERS[name](text)
        except REFUSALS.get(name, Problem):
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            found.append((text, error))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    failed = 0
    for name in PARSERS:
        began = time.process_time()
        found = crashes(name, asked.inputs, random.Random(f"{name}:{asked.seed}"))
        failed += len(found)
        seconds = time.process_time() - began
        sys.stdout.write(f"{name:16} {asked.inputs:9,} inputs  {len(found):5} crashes  {seconds:5.1f} s\n")
        for text, error in found[:3]:
            sys.stdout.write(f"    {error!r} on {text[:120]!r}\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
