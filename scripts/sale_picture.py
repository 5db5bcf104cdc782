"""Draws one flash sale as SVG from its result folder: `python scripts/sale_picture.py runs/NAME docs/start/sale.svg`.

Each dot is a checkout, where it was answered and how long it took. Readable on a light and on a dark page."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 820, 300, 70, 16, 66, 36
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24312e } .title { font-size: 17px; font-weight: 600 }
.grid { stroke: #8a9693; stroke-opacity: .35 } .got { fill: #12805c } .refused { fill: #8a9693; fill-opacity: .55 }
@media (prefers-color-scheme: dark) { text { fill: #dfe7e4 } .got { fill: #45c79a } }
"""


def picture(folder: Path) -> str:
    rows = pd.read_parquet(folder / "requests.parquet")
    audit = json.loads((folder / "stock.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    checkouts = rows[(rows["route"] == "checkout") & rows["outcome"].isin(["ok", "out_of_stock"])]
    paid = int(((rows["route"] == "pay") & (rows["outcome"] == "paid")).sum())
    return "\n".join(_svg(checkouts, paid, manifest["options"], bool(audit["ok"])))


def _svg(checkouts: pd.DataFrame, paid: int, options: dict[str, int], books_balance: bool) -> Iterator[str]:
    seconds = checkouts["done"] - checkouts["done"].min()
    millis = (checkouts["done"] - checkouts["intended"]) * 1_000
    got = checkouts["outcome"] == "ok"
    low, high = 10 ** math.floor(math.log10(millis.min())), 10 ** math.ceil(math.log10(millis.max()))
    ends = max(1.0, float(seconds.max()))
    books = "0 oversold" if books_balance else "the books do NOT balance"
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><style>{STYLE}</style>'
    yield f'<text x="{LEFT}" y="22" class="title">{options["users"]} shoppers want {options["stock"]} units</text>'
    yield f'<circle cx="{LEFT + 5}" cy="42" r="4" class="got"/>'
    reserved = f"{int(got.sum())} reserved one, {paid} of them paid; some gave theirs back"
    yield f'<text x="{LEFT + 15}" y="46">{reserved}</text>'
    yield f'<circle cx="{LEFT + 385}" cy="42" r="4" class="refused"/>'
    yield f'<text x="{LEFT + 395}" y="46">{int((~got).sum())} times "out of stock", {books}</text>'
    for level in (10**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)):
        y = _y(level, low, high)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{level:,} ms</text>'
    for second in range(0, math.floor(ends) + 1, max(1, round(ends / 8))):
        x = _x(second, ends)
        yield f'<text x="{x:.1f}" y="{HEIGHT - 14}" text-anchor="middle">{second} s</text>'
    for second, milli, taken in sorted(zip(seconds, millis, got, strict=True), key=lambda dot: dot[2]):
        place = f'cx="{_x(second, ends):.1f}" cy="{_y(milli, low, high):.1f}"'
        yield f'<circle {place} r="{4 if taken else 3}" class="{"got" if taken else "refused"}"/>'
    yield "</svg>\n"


def _x(second: float, ends: float) -> float:
    return LEFT + second / ends * (WIDTH - LEFT - RIGHT)


def _y(milli: float, low: float, high: float) -> float:
    share = (math.log(milli) - math.log(low)) / (math.log(high) - math.log(low))
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(Path(sys.argv[1])))
