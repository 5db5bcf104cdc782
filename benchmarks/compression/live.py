"""`holdfast bench compression`: the documented three contents, fetched once per coding from a served stack.

Bytes are the body as it crossed the loopback wire. CPU is what the service's own encoder takes for that body."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.compression.levels import compare
from benchmarks.kit.cpu_time import cpu_ms
from benchmarks.kit.outcome import BenchOutcome, RunInvalid, table
from benchmarks.kit.served_stack import Served
from benchmarks.kit.shopfront import Shopfront, discover, expect
from benchmarks.kit.wire import Wire, WireAnswer, request
from service.web.http.compress import build_codecs, encode

Progress = Callable[[str], None]
CODINGS = ("gzip", "br", "zstd")
PAGE_MAX = 100
ORDERS = 100
STOCK = 1_000
LINES_MAX = 6
DIFFERENCE_MAX = 0.01  # a page carries a nonce, and stock may have moved
CPU_MS_PER_100_KB_MAX = 1.0


@dataclass(frozen=True, slots=True)
class CompressionPlan:
    products: int = 1_000
    seed: int = 1
    levels: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """One documented row: `path` is asked for with the page size whose answer comes nearest to `documented_bytes`."""

    name: str
    path: str
    documented_bytes: int
    documented_reduction: float
    signed_in: bool = False


CONTENTS = (
    Content("JSON (products)", "/api/products", 100_000, 80),
    Content("JSON (orders)", "/api/orders", 50_000, 80, signed_in=True),
    Content("HTML pages", "/", 80_000, 69),
)


def run(stack: Served, plan: CompressionPlan, step: Progress) -> dict[str, Any]:
    stack.seed(products=plan.products, stock=STOCK)
    step("seeded")
    return measure(stack, plan, step)


def measure(stack: Served, plan: CompressionPlan, step: Progress) -> dict[str, Any]:
    """On a stack that is seeded."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(stack.url, plan, step))


async def _run(url: str, plan: CompressionPlan, step: Progress) -> dict[str, Any]:
    shop = await discover(url, buyers=1)
    result: dict[str, Any] = {"rows": []}
    async with Wire(url) as wire:
        await _place_orders(shop, wire, random.Random(plan.seed))
        for content in CONTENTS:
            fetch = await _of_documented_size(wire, shop, content)
            plain = await fetch("identity")
            result["rows"].append(await _row(content, plain, fetch))
            if plan.levels:
                result.setdefault("levels", []).extend(compare(content.name, plain.body))
            step(content.name)
    return result


Fetch = Callable[[str], Awaitable[WireAnswer]]


async def _of_documented_size(wire: Wire, shop: Shopfront, content: Content) -> Fetch:
    headers = {"Authorization": f"Bearer {shop.tokens[0]}"} if content.signed_in else {}

    def fetch_page(limit: int) -> Fetch:
        async def fetch(accept: str) -> WireAnswer:
            wanted = request("GET", f"{content.path}?limit={limit}", headers=headers, accept=accept)
            return expect(await wire.send(wanted), 200)

        return fetch

    largest = await fetch_page(PAGE_MAX)("identity")
    limit = min(PAGE_MAX, round(PAGE_MAX * content.documented_bytes / len(largest.body)))
    return fetch_page(limit)


async def _place_orders(shop: Shopfront, wire: Wire, randomness: random.Random) -> None:
    headers = shop.bearer(randomness)
    for _ in range(ORDERS):
        skus = randomness.sample(shop.skus, randomness.randint(1, LINES_MAX))
        items = [{"sku": sku, "quantity": randomness.randint(1, 3)} for sku in skus]
        expect(await wire.send(request("POST", "/api/orders", body={"items": items}, headers=headers)), 201)


async def _row(content: Content, plain: WireAnswer, fetch: Fetch) -> dict[str, Any]:
    answers = {coding: await fetch(coding) for coding in CODINGS}
    for coding, answer in answers.items():
        if abs(len(answer.decoded()) - len(plain.body)) > len(plain.body) * DIFFERENCE_MAX:
            raise RunInvalid(f"{content.name} came back as other content when asked for as {coding}")
    codecs, content_type = build_codecs(), plain.headers["content-type"]
    size, gzip_size = len(plain.body), len(answers["gzip"].body)
    return {
        "content": content.name,
        "bytes": size,
        "gzipBytes": gzip_size,
        "reduction": reduction(size, gzip_size),
        "documentedReduction": content.documented_reduction,
        "cpuMs": round(cpu_ms(lambda: encode(plain.body, content_type, "gzip", codecs)), 3),
        "brBytes": len(answers["br"].body),
        "zstdBytes": len(answers["zstd"].body),
    }


def reduction(before: int, after: int) -> float:
    """Percent saved."""
    return round(100 - 100 * after / before, 1)


def judge(result: dict[str, Any]) -> BenchOutcome:
    broken = [sentence for row in result["rows"] for sentence in _broken(row)]
    columns = ("content", "bytes", "gzip", "reduction %", "documented %", "gzip CPU ms", "br", "zstd")
    tables = [table("live responses, bytes on the wire", columns, (tuple(row.values()) for row in result["rows"]))]
    if levels := result.get("levels"):
        of_codecs = ("content", "codec", "level", "bytes", "reduction %", "CPU ms per 100 KB")
        tables.append(table("codecs and levels on the same bodies", of_codecs, (tuple(row.values()) for row in levels)))
    return BenchOutcome(result, tuple(tables), tuple(broken))


def _broken(row: dict[str, Any]) -> list[str]:
    broken = []
    if row["reduction"] < row["documentedReduction"]:
        broken.append(f"{row['content']}: {row['reduction']} % saved, documented {row['documentedReduction']} %")
    if row["cpuMs"] / row["bytes"] * 100_000 > CPU_MS_PER_100_KB_MAX:
        broken.append(f"{row['content']}: {row['cpuMs']} ms for {row['bytes']} bytes is over 1 ms per 100 KB")
    if min(row["brBytes"], row["zstdBytes"]) >= row["gzipBytes"]:
        broken.append(f"{row['content']}: neither brotli nor zstd is smaller than gzip")
    return broken
