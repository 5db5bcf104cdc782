"""What a trace is called."""

from pathlib import Path

import pytest

from workloads.traces.names import default_trace
from workloads.traces.retail import TraceError, read_trace

ROWS = "InvoiceNo,StockCode,Quantity,InvoiceDate\n1,A,2,2017-01-01 10:00\n"


@pytest.mark.parametrize("name", ["complete-jorney", "online_retail", "complete journey", "COMPLETE-JOURNEY"])
def test_a_name_that_is_not_known_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(TraceError, match=f"no trace {name} .*the known traces are complete-journey"):
        read_trace(name)


@pytest.mark.parametrize("path", ["none.csv", "folder/none", "./complete-journey", "/none"])
def test_what_looks_like_a_path_is_a_file(path: str) -> None:
    with pytest.raises(TraceError, match="there is no file"):
        read_trace(path)


def test_a_file_without_a_suffix_is_a_trace_and_a_path_beats_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "complete-journey"):
        Path(name).write_text(ROWS)
    assert len(read_trace("mine").rows) == len(read_trace("./complete-journey").rows) == 1


def test_the_default_is_the_packaged_year_unless_something_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_TRACE", raising=False)
    assert default_trace() == "complete-journey"
    monkeypatch.setenv("HOLDFAST_TRACE", "mine.csv")
    assert default_trace() == "mine.csv"
