"""Stores for one measurement: started for it, and gone with their data when it is over."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.stack import embedded


@contextmanager
def own_stores() -> Iterator[embedded.EmbeddedStores]:
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder,
        embedded.opened(Path(folder) / "data", keep=False) as stores,
    ):
        yield stores
