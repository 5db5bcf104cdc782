"""Owns the answer to: what did you understand this file as? And which command do I run now?"""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.traces.command_options import as_arguments

if TYPE_CHECKING:
    from workloads.traces.retail import Trace

WANTED_SECONDS = 600


def description(trace: "Trace", files: Sequence[str | Path], said: dict[str, Any]) -> dict[str, Any]:
    """All of it as one document. Invoices, lines and SKUs are counted after `--month` and `--limit`."""
    rows, understood = trace.rows, trace.understood
    sales = rows[~rows["returned"]]
    baskets = sales.groupby("invoice", sort=False).size()
    span_seconds = (rows["at"].max() - rows["at"].min()).total_seconds()
    return {
        "files": [
            read | {key: file[key] for key in ("path", "sha256", "bytes")}
            for read, file in zip(understood["files"], trace.provenance["files"], strict=True)
        ],
        "columns": trace.provenance["columns"],
        "numbers": {"decimal": understood["decimal"], "currencies": understood["currencies"]},
        "dates": {"order": understood["dates"], "haveTime": trace.has_time, "zone": understood.get("zone", "UTC")},
        "repairs": trace.repairs.as_dict(),
        "lineItems": len(rows),
        "baskets": {
            "sales": len(baskets),
            "returns": int(rows.loc[rows["returned"], "invoice"].nunique()),
            "medianLines": float(baskets.median()) if len(baskets) else 0.0,
            "mostLines": int(baskets.max()) if len(baskets) else 0,
        },
        "units": int(sales["quantity"].sum()),
        "skus": int(rows["sku"].nunique()),
        "customers": int(rows.loc[rows["customer"] != "", "customer"].nunique()),
        "span": {"from": rows["at"].min().isoformat(), "to": rows["at"].max().isoformat(), "seconds": span_seconds},
        "attribution": trace.attribution,
        "commands": _commands(files, said, span_seconds),
    }


def _commands(files: Sequence[str | Path], said: dict[str, Any], span_seconds: float) -> list[str]:
    """A file that explains itself is replayed as it is, any other one in its standard form."""
    options = as_arguments(said)
    speed = max(1, math.ceil(span_seconds / WANTED_SECONDS))
    name, commands = shlex.quote(str(files[0])), []
    if len(files) > 1 or options:
        name = "trace.parquet"
        commands.append(
            " ".join(filter(None, ("holdfast trace convert", shlex.join(map(str, files)), options, f"-o {name}")))
        )
    return [*commands, f"holdfast seed --trace {name}", f"holdfast replay {name} --speed {speed}"]


def as_text(found: dict[str, Any]) -> str:
    baskets, span = found["baskets"], found["span"]
    lines = [_file_line(file) for file in found["files"]]
    lines += ["", "columns"]
    lines += [f"  {standard:12} {theirs}" for standard, theirs in found["columns"].items()]
    lines += [
        "",
        f"dates        {found['dates']['order']}, {_clock(found['dates'])}",
        f"numbers      {_numbers(found)}",
    ]
    lines += ["", f"span         {span['from']} to {span['to']}"]
    lines.append(f"baskets      {baskets['sales']:,} sales, {baskets['returns']:,} returns")
    lines.append(
        f"lines        {found['lineItems']:,}, {baskets['medianLines']:g} a sale, {baskets['mostLines']:,} at most"
    )
    lines.append(f"SKUs         {found['skus']:,}, {found['units']:,} units sold, {found['customers']:,} customers")
    lines.append(f"attribution  {found['attribution'] or 'none; --attribution says whose data it is'}")
    lines += ["", "repairs" if found["repairs"] else "nothing had to be mended"]
    lines += [_repair_line(kind, repair) for kind, repair in found["repairs"].items()]
    return "\n".join([*lines, "", "to run it", *(f"  {command}" for command in found["commands"])])


def _file_line(file: dict[str, Any]) -> str:
    how = [file["format"], *file["packed"], file.get("encoding"), file.get("separator"), f"{file['rows']:,} rows"]
    return f"{file['path']}: {', '.join(filter(None, how))}, sha256 {file['sha256'][:12]}"


def _clock(dates: dict[str, Any]) -> str:
    return str(dates["zone"]) if dates["haveTime"] else "without a time of day"


def _numbers(found: dict[str, Any]) -> str:
    signs = [f"{column} with a decimal {sign}" for column, sign in found["numbers"]["decimal"].items() if sign]
    return "; ".join([*signs, *found["numbers"]["currencies"]]) or "whole, or typed"


def _repair_line(kind: str, repair: dict[str, Any]) -> str:
    says = f": {repair['says']}" if "says" in repair else ""
    return f"  {kind.replace('_', ' ')}, {repair['rows']:,} rows, first on line {repair['firstLine']}{says}"
