"""What looks for something, or reads page after page, ends also where it never finds it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from benchmarks.kit.catalogue import TraceName, catalogue
from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.search_queries import judged_queries, query_mix
from service.errors import Unavailable
from service.jobs.repository import JobRuns
from workloads.drivers.locust import setup

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("names", [[TraceName("RED MUG", 5, 100)], [TraceName("A A", 1, 1), TraceName("A B", 1, 1)]])
def test_a_catalogue_of_a_few_words_has_as_many_different_names_as_are_asked_for(names: list[TraceName]) -> None:
    entries = list(catalogue(names, 3_000, 1))
    assert len({entry.name for entry in entries}) == 3_000
    assert entries == list(catalogue(names, 3_000, 1))


def test_a_few_names_give_a_few_queries_and_asking_for_more_is_refused() -> None:
    names = [TraceName("RED MUG", 5, 100)]
    assert len(judged_queries(names, 4, 1)) == 4
    with pytest.raises(RunInvalid, match="ask for fewer"):
        judged_queries(names, 1_000, 1)


@pytest.mark.parametrize("names", [[], [TraceName("12 7", 5, 100), TraceName("X", 3, 100)]])
def test_names_without_a_word_give_no_query(names: list[TraceName]) -> None:
    with pytest.raises(RunInvalid, match="no name has a word"):
        query_mix(names, 10, 1)
    with pytest.raises(RunInvalid, match="no name has a word"):
        judged_queries(names, 10, 1)


def test_a_catalogue_that_answers_the_same_page_for_ever_is_read_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    page = {"items": [{"sku": "A", "slug": "a", "variants": []}], "nextCursor": "again"}
    monkeypatch.setattr(setup, "_get", lambda address: page)
    assert setup.read_catalogue("http://127.0.0.1:1") == (("A",), {"A": "a"})


class NeverThere:
    """Says that a run is open, and then that there is none."""

    async def insert_one(self, document: Any) -> None:
        raise DuplicateKeyError("open")

    async def find_one(self, *asked: Any) -> None:
        return None

    async def find_one_and_update(self, *asked: Any, **options: Any) -> None:
        return None

    def find(self, *asked: Any) -> "NeverThere":
        return self

    async def to_list(self, length: Any) -> list[Any]:
        return []


async def test_a_job_whose_runs_come_and_go_too_fast_is_not_joined_for_ever() -> None:
    database: Any = {"job_runs": NeverThere(), "schedules": NeverThere()}
    runs = JobRuns(database)
    with pytest.raises(Unavailable):
        await runs.open("r", "sweep", "me", NOW, NOW)
    with pytest.raises(Unavailable):
        await runs.open_for_ticks("r", "sweep", [NOW], NOW, NOW)
