"""The scaling benchmark against a real mongod, small: its ledgers are processes of their own."""

from dataclasses import replace

import pytest

from benchmarks.scaling.run import QUICK, run
from service.stack.embedded import EmbeddedStores
from workloads.scale_model.fit import calibrate, cores_given

SMALL = replace(QUICK, processes=(1, 2), seconds=0.3, buyers=12)


@pytest.mark.timeout(180)
def test_ledgers_on_one_store_are_counted_and_their_books_are_right(stores: EmbeddedStores):
    result = run(stores.mongodb_uri, SMALL)
    turns = {(turn["processes"], turn["buyers"], turn["hotShare"]): turn for turn in result["turns"]}
    assert turns.keys() == set(SMALL.settings)
    assert all(turn["checkoutsPerSecond"] > 0 for turn in result["turns"])
    assert turns[1, 1, 1.0]["batchItems"] == 1
    assert turns[1, 12, 1.0]["batchItems"] == pytest.approx(12, rel=0.2)
    assert turns[1, 12, 1.0]["retriesPerBatch"] == 0
    assert turns[2, 12, 1.0]["retriesPerBatch"] > 0, "two ledgers on one SKU must meet"
    assert 0 < turns[1, 12, 0.0]["readMs"] < turns[1, 12, 0.0]["batchMs"] < turns[1, 12, 0.0]["cycleMs"]
    assert calibrate(result, 0.0).commit.of_a_batch > 0
    assert cores_given(result) > 0
