"""Owns the standard form of a trace: a Parquet file that carries where it came from, so that what is read from it can
say so too."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from workloads.traces.faults import TraceError
from workloads.traces.typed_files import METADATA_KEY

if TYPE_CHECKING:
    from workloads.traces.retail import Trace

VERSION = 1


def write_standard(trace: "Trace", out: Path) -> dict[str, Any]:
    """Writes the file, whole or not at all. Returns what it holds. Raises TraceError."""
    if any(Path(file["path"]).resolve() == out.resolve() for file in trace.provenance["files"]):
        raise TraceError(f"{out} is what is read; write to another name")
    table = pa.Table.from_pandas(_standard(trace.rows), preserve_index=False)
    about = _about(trace)
    table = table.replace_schema_metadata({METADATA_KEY: json.dumps(about, default=str).encode()})
    draft = out.with_name(f".{out.name}.draft")
    try:
        parquet.write_table(table, draft, compression="zstd")
        draft.replace(out)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise TraceError(f"{out} cannot be written: {error.strerror or error}") from None
    counts = {"rows": len(trace.rows), "invoices": _invoices(trace.rows), "skus": trace.rows["sku"].nunique()}
    return {"out": str(out), **counts, **about}


def _standard(rows: pd.DataFrame) -> pd.DataFrame:
    """Quantities below zero are returns: no name of an invoice has to say it."""
    return pd.DataFrame(
        {
            "InvoiceNo": rows["invoice"],
            "StockCode": rows["sku"],
            "Description": rows["description"],
            "Quantity": rows["quantity"].where(~rows["returned"], -rows["quantity"]),
            "InvoiceDate": rows["at"],
            "UnitPrice": rows["price"],
            "CustomerID": rows["customer"],
        }
    )


def _about(trace: "Trace") -> dict[str, Any]:
    provenance = trace.provenance
    return {
        "version": VERSION,
        "attribution": provenance["attribution"],
        "sources": [*provenance["files"], *provenance["joined"]],
        "columns": provenance["columns"],
        "options": provenance["options"],
        "repairs": trace.repairs.as_dict(),
    }


def _invoices(rows: pd.DataFrame) -> int:
    return len(rows[["invoice", "returned"]].drop_duplicates())
