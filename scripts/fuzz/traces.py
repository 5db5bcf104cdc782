"""Fuzz loop over reading traces: `python scripts/fuzz/traces.py --count 100000 --seed 1`.

Valid files are broken at random, by bytes and by fields. Each must be read or refused with a TraceError of one
printable line; anything else is a crash, and its input is kept in --keep. The same seed gives the same inputs."""

import argparse
import contextlib
import gzip
import random
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from workloads.traces.column_names import known_names
from workloads.traces.csv_file import read_csv
from workloads.traces.dates import read_dates
from workloads.traces.encodings import to_utf8
from workloads.traces.faults import FilePlaces, Repairs, TraceError
from workloads.traces.json_file import looks_like_json, read_json
from workloads.traces.numbers import read_numbers
from workloads.traces.retail import read_trace
from workloads.traces.texts import texts_of

HEADERS = (
    b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID",
    b"sep=;\nRechnungsnr;Artikelnr;Bezeichnung;Menge;Datum;Preis;Kunde",
    b"Name\tLineitem sku\tLineitem quantity\tCreated at\tLineitem price\tEmail",
    b'"order","item","qty","date","time","total"',
    b"InvoiceNo|StockCode|Quantity|Quantity|InvoiceDate",
)
FIELDS = (
    b"1",
    b"C536365",
    b"85123A",
    b"\xe8\x8c\xb6-1",
    b"-6",
    b"12,000",
    b"1.234,50",
    b"1'234.50",
    b"(12)",
    b"1e308",
    b"NaN",
    b"inf",
    b"2010-12-01T08:26:00Z",
    b"05/01/2011",
    b"31.12.10 8:26",
    b"12/31/2010 8:26 PM",
    b"40543.35",
    b"1293783960",
    b"9999-12-31",
    b"Dec 31, 2010",
    b'"a, ""b"""',
    b'"',
    b"\0",
    b"",
    b" ",
    b"\xff\xfe",
    b"\xe9",
    b"\n",
    b"\r",
    b"\r\n",
    b",",
    b";",
    b"\t",
    b"|",
    b"\xc2\xb2",
    b"\xd9\xa3",
    b"\xf0\x9f\x8e\x81",
    b"9" * 40,
    b"=1+1",
    b"'",
    b"-",
    b".",
    b"--",
    b"\x1b[31m",
    b"0",
    b"sep=,",
    b'{"sku":"A","quantity":1,"date":"2010-12-01","order_id":1}',
    b"[",
    b"{",
    b"}",
    b"]",
    b"1" * 200_000,
)


SOUND = (b"1", b"85123A", b"HEART", b"6", b"2010-12-31 08:26", b"2.55", b"17850")
WHOLE_EVERY, DATES_EVERY = 20, 7


def made(chance: random.Random) -> bytes:
    """Half of the files are sound but for a field or two, so that what comes after the parsers is reached as well."""
    header = chance.choice(HEADERS)
    separator = next((each for each in (b";", b"\t", b"|") if each in header), b",")
    width = header.split(b"\n")[-1].count(separator) + chance.choice((1, 1, 1, 1, 0, 2))
    fields = FIELDS[:-1] if chance.random() < 0.999 else FIELDS
    if chance.random() < 0.5:
        dirt = chance.choice((0.0, 0.05, 0.2))
        sound = [row if chance.random() >= dirt else chance.choice(fields) for row in SOUND for _ in range(2)]
        rows = [separator.join(sound[start::2]) for start in range(2)]
        return b"\n".join([HEADERS[0].replace(b",", separator), *rows])
    rows = [separator.join(chance.choice(fields) for _ in range(width)) for _ in range(chance.randrange(4))]
    return broken(b"\n".join([header, *rows]), chance)


def broken(data: bytes, chance: random.Random) -> bytes:
    whole = bytearray(data)
    for _ in range(chance.choice((0, 0, 1, 2, 8))):
        at = chance.randrange(len(whole) + 1)
        whole[at : at + chance.randrange(4)] = chance.choice((chance.randbytes(2), chance.choice(FIELDS[:-1])))
    how = chance.random()
    if how < 0.02:
        return gzip.compress(bytes(whole))[: chance.randrange(1, 200)]
    if how < 0.05:
        return bytes(whole).decode("latin-1").encode(chance.choice(("utf-16", "utf-16-le", "utf-32")))
    return bytes(whole)


def outcome(path: Path, data: bytes, *, whole: bool) -> str:
    """`read`, `refused`, or what a crash said. `whole` reads a trace to its end, else the parsers alone are tried."""
    try:
        if whole:
            path.write_bytes(data)
            read_trace(path, drop_bad_rows=len(data) % 2 == 0).invoices()
        else:
            parsed(data)
    except TraceError as error:
        return "refused" if str(error).isprintable() else f"not one printable line: {error!r}"
    except Exception:  # noqa: BLE001 - any kind is what is looked for
        return traceback.format_exc()
    return "read"


def parsed(data: bytes) -> None:
    repairs = Repairs()
    text, _ = to_utf8(data, None, repairs)
    table = read_json(text, repairs) if looks_like_json(text) else read_csv(text, known_names, repairs)
    places = FilePlaces(table.lines, table.unit)
    columns = [texts_of(table.frame[name]) for name in table.frame.columns[:8]]
    for texts in columns:
        with contextlib.suppress(TraceError):
            read_numbers(texts, "x", places)
    if len(data) % DATES_EVERY == 0:  # compiling the patterns of dates takes longer than all else
        with contextlib.suppress(TraceError):
            read_dates(columns[len(data) % len(columns)], "x", places, None)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--keep", type=Path, default=Path("runs/fuzz"))
    said = arguments.parse_args()
    chance, counted, began = random.Random(said.seed), {"read": 0, "refused": 0, "crashed": 0}, time.perf_counter()
    with TemporaryDirectory() as folder:
        for number in range(said.count):
            data = made(chance)
            found = outcome(Path(folder) / "trace", data, whole=number % WHOLE_EVERY == 0)
            counted[found if found in counted else "crashed"] += 1
            if found not in counted:
                said.keep.mkdir(parents=True, exist_ok=True)
                (said.keep / f"{said.seed}-{number}.bin").write_bytes(data)
                sys.stderr.write(f"input {number}: {found}\n")
    seconds = time.perf_counter() - began
    sys.stdout.write(f"{said.count:,} inputs in {seconds:,.0f} s: {counted}\n")
    return 1 if counted["crashed"] else 0


if __name__ == "__main__":
    sys.exit(main())
