"""The jobs of the catalogue: thin, each calls its use case."""

from collections.abc import Mapping
from typing import Any

from service.catalog.usecases import Catalog
from service.jobs.runner import Job, Progress

NIGHTLY = "30 3 * * *"
EVERY_MINUTE = "* * * * *"


def jobs(catalog: Catalog) -> tuple[Job, ...]:
    async def catalogue_recount(progress: Progress) -> Mapping[str, Any]:
        words = await catalog.recount()
        progress.checkpoint(words=words)
        return {"words": words}

    async def sales_count(progress: Progress) -> Mapping[str, Any]:
        return {"products": await catalog.count_sales()}

    return (Job("catalogue-recount", NIGHTLY, catalogue_recount), Job("sales-count", EVERY_MINUTE, sales_count))
