"""What a change of the stored form owes to those who upgrade."""

from service import bootstrap, migrations
from service.catalog.repository import SEARCH_FORM
from service.config import Config
from service.migration.schema import OLDEST_PROCESS, OLDEST_STORE, VERSION

# Which schema version's migration makes the keys of search anew by these rules.
SEARCH_FORMS = {1: 1, 2: 2}


async def test_other_rules_for_the_keys_of_search_come_with_a_schema_version_whose_migration_makes_them_anew() -> None:
    assert SEARCH_FORMS[SEARCH_FORM] <= VERSION
    async with migrations.opened(Config(), bootstrap.build) as migration:
        assert any(step.version >= SEARCH_FORMS[SEARCH_FORM] for step in migration._steps)


def test_the_window_of_versions_reaches_one_version_back() -> None:
    """So that processes can be upgraded one by one, and put back."""
    assert OLDEST_STORE <= VERSION - 1
    assert OLDEST_PROCESS <= VERSION - 1
