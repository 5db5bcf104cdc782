"""Draws the diagrams of docs/concepts as SVG, from the text below: `python scripts/diagrams.py`. Readable on a light
and on a dark page."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs/concepts"
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24312e } .box { fill: #12805c; fill-opacity: .14; stroke: #12805c }
.line { stroke: #6d7a77; stroke-width: 1.5; fill: none } .note { fill: #6d7a77 }
@media (prefers-color-scheme: dark) { text { fill: #dfe7e4 } .note { fill: #a5b1ae } .box { stroke: #45c79a } }
"""
ARROW = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#6d7a77"/></marker></defs>'
)


@dataclass(frozen=True, slots=True)
class Box:
    x: int
    y: int
    width: int
    text: str
    note: str = ""

    def drawn(self) -> str:
        middle = self.x + self.width / 2
        note = f'<text x="{middle}" y="{self.y + 52}" text-anchor="middle" class="note">{self.note}</text>'
        return (
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="34" rx="6" class="box"/>'
            f'<text x="{middle}" y="{self.y + 22}" text-anchor="middle">{self.text}</text>'
            + (note if self.note else "")
        )


@dataclass(frozen=True, slots=True)
class Arrow:
    x1: int
    y1: int
    x2: int
    y2: int
    text: str = ""

    def drawn(self) -> str:
        line = (
            f'<line x1="{self.x1}" y1="{self.y1}" x2="{self.x2}" y2="{self.y2}" class="line" marker-end="url(#tip)"/>'
        )
        slanted = abs(self.y2 - self.y1) > 20
        at = f'x="{(self.x1 + self.x2) / 2}" y="{(self.y1 + self.y2) / 2 - (24 if slanted else 7)}"'
        return line + (f'<text {at} text-anchor="middle" class="note">{self.text}</text>' if self.text else "")


HOLD: Sequence[Box | Arrow] = [
    Box(20, 92, 110, "active", "stock is reserved"),
    Box(400, 20, 130, "confirmed", "sold"),
    Box(400, 92, 130, "released", "free again"),
    Box(400, 164, 130, "expired", "free again"),
    Arrow(134, 100, 396, 38, "paid in time"),
    Arrow(134, 109, 396, 109, "cancelled"),
    Arrow(134, 118, 396, 180, "over"),
    Arrow(534, 181, 690, 181, "paid late, stock is there"),
    Box(694, 164, 150, "a new hold", "confirmed at once"),
]
BATCH: Sequence[Box | Arrow] = [
    Box(20, 20, 150, "postings gather", "while the last commits"),
    Box(190, 20, 150, "one snapshot", "SKUs, holds, keys"),
    Box(360, 20, 150, "decide", "pure, in arrival order"),
    Box(530, 20, 150, "write, pipelined", "a guarded update a SKU"),
    Box(700, 20, 150, "commit, majority", "each gets its answer"),
    Arrow(20, 100, 850, 100, ""),
    Box(530, 122, 150, "postings gather", "the next batch"),
    Box(700, 122, 150, "one snapshot", ""),
]
OUTBOX: Sequence[Box | Arrow] = [
    Box(30, 20, 180, "posting", "stock, order, facts, at once"),
    Arrow(214, 37, 276, 37),
    Box(280, 20, 130, "outbox", "in MongoDB"),
    Arrow(414, 37, 476, 37, "relay"),
    Box(480, 20, 150, "delivery", "again until it succeeds"),
    Arrow(634, 37, 696, 37),
    Box(700, 20, 170, "mail, webhooks", "each told once, by its key"),
    Arrow(555, 82, 555, 118),
    Box(480, 122, 150, "dead letter", "after the last try; kept"),
    Arrow(345, 82, 345, 118),
    Box(260, 122, 170, "caches, stock stream", "follow what was committed"),
]


def picture(parts: Sequence[Box | Arrow], height: int) -> Iterator[str]:
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 890 {height}" role="img"><style>{STYLE}</style>{ARROW}'
    yield from (part.drawn() for part in parts)
    yield "</svg>\n"


PICTURES = {"hold.svg": (HOLD, 230), "batch.svg": (BATCH, 190), "outbox.svg": (OUTBOX, 190)}


def main() -> int:
    for name, (parts, height) in PICTURES.items():
        (FOLDER / name).write_text("\n".join(picture(parts, height)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
