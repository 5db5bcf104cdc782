"""Completing what is being typed: the rest of the word, and products it leads to."""

from collections import Counter
from collections.abc import Sequence

from service.catalog.models import Suggestion
from service.catalog.product_reads import ProductReads
from service.catalog.search.plan import Candidate
from service.catalog.search.repository import SearchRepository
from service.catalog.search.vocabulary import Vocabulary
from service.catalog.terms import pair_key, stems_of, words_of
from service.config import Config

Completion = tuple[str, str]  # stem, word


class Suggestions:
    def __init__(
        self, repository: SearchRepository, products: ProductReads, vocabulary: Vocabulary, config: Config
    ) -> None:
        self._repository, self._products, self._vocabulary = repository, products, vocabulary
        self._config = config

    async def complete(self, typed: str) -> list[Suggestion]:
        """Queries that complete the last word, then products they find."""
        words = words_of(typed)
        if not words:
            return []
        *before, prefix = words
        completions, found = await (self._beside(before, prefix) if before else self._alone(prefix))
        most = self._config.suggestions_max
        products = await self._products.on_sale(each.id for each in found[:most])
        queries = [Suggestion(" ".join([*before, word])) for _, word in completions[:most]]
        return queries + [Suggestion(product.name, product.slug) for product in products]

    async def _alone(self, prefix: str) -> tuple[list[Completion], list[Candidate]]:
        completions = await self._vocabulary.completions(prefix, self._config.suggestions_max)
        return completions, await self._named([stem for stem, _ in completions], self._config.suggestions_max)

    async def _beside(self, before: Sequence[str], prefix: str) -> tuple[list[Completion], list[Candidate]]:
        """Only words that stand in a name together with the word before, the most frequent first."""
        neighbour = stems_of(" ".join(before))[-1]
        completions = await self._vocabulary.completions(prefix, self._config.completions_max)
        keys = [pair_key(neighbour, stem) for stem, _ in completions if stem != neighbour]
        found = await self._named(keys, self._config.search_head_max)
        often = Counter(stem for each in found for stem in each.name_stems)
        present = [each for each in completions if often[each[0]] and each[0] != neighbour]
        return sorted(present, key=lambda each: -often[each[0]]), found

    async def _named(self, keys: Sequence[str], limit: int) -> list[Candidate]:
        return await self._repository.best(keys, limit) if keys else []
