"""Wires the catalogue: products and offers, search and suggestions, reviews."""

from dataclasses import dataclass

from service.catalog.offers import Offers
from service.catalog.popularity import Popularity
from service.catalog.product_reads import ProductReads
from service.catalog.repository import CatalogRepository
from service.catalog.review_repository import ReviewRepository
from service.catalog.reviews import PastBuyers, Reviews
from service.catalog.search.cache import SearchCache
from service.catalog.search.repository import SearchRepository
from service.catalog.search.suggestions import Suggestions
from service.catalog.search.usecases import Search
from service.catalog.search.vocabulary import Vocabulary
from service.catalog.usecases import Catalog, CatalogStores
from service.infra.stores import Stores
from service.inventory.usecases import Inventory
from service.messaging.unit_of_work import UnitOfWork
from service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class CatalogDomain:
    offers: Offers
    catalog: Catalog
    search: Search
    suggestions: Suggestions
    reviews: Reviews


def wire(runtime: Runtime, stores: Stores, work: UnitOfWork, inventory: Inventory, buyers: PastBuyers) -> CatalogDomain:
    clock, ids, config, database = runtime.clock, runtime.ids, runtime.config, stores.database
    products, vocabulary = CatalogRepository(database), Vocabulary(database)
    offers, reads = Offers(database, stores.runner, config), ProductReads(products, config)
    stored = CatalogStores(products, reads, vocabulary, Popularity(database, products, reads))
    catalog = Catalog(stored, offers, inventory, work, runtime)
    walks = SearchRepository(database, config.search_window_max)
    return CatalogDomain(
        offers,
        catalog,
        Search(walks, reads, vocabulary, SearchCache(clock, config), config),
        Suggestions(walks, reads, vocabulary, config),
        Reviews(ReviewRepository(database), catalog, buyers, work.transactions, clock, ids),
    )
