"""Fuzz loop over reading traces: `python scripts/fuzz/traces.py --count 100000 --seed 1`.

Valid files are broken at random, by bytes and by fields. Each must be read or refused with a TraceError of one
printable line; anything else is a crash, and its input is kept in --keep. The same seed gives the same inputs."""

import argparse
import gzip
import random
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from workloads.traces.faults import TraceError
from workloads.traces.retail import read_trace

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


def made(chance: random.Random) -> bytes:
    header = chance.choice(HEADERS)
    separator = next((each for each in (b";", b"\t", b"|") if each in header), b",")
    width = header.split(b"\n")[-1].count(separator) + chance.choice((1, 1, 1, 1, 0, 2))
    fields = FIELDS[:-1] if chance.random() < 0.999 else FIELDS
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


def outcome(path: Path, data: bytes) -> str:
    """`read`, `refused`, or the traceback of a crash."""
    path.write_bytes(data)
    try:
        read_trace(path).invoices()
    except TraceError as error:
        return "refused" if str(error).isprintable() else f"not one printable line: {error!r}"
    except Exception:  # noqa: BLE001 - any kind is what is looked for
        return traceback.format_exc()
    return "read"


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
            found = outcome(Path(folder) / "trace", data)
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
