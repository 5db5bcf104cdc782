"""How words become search terms: one analysis for products and for queries, so that they meet.

Pure and small on purpose: folding, a light English stemmer (plurals only), the keys a product is indexed under,
and the edit-distance neighbourhood that forgives a typo.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations

from service.catalog.letters import fold, is_of_a_word, pieces_of

# fmt: off
STOPWORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "into", "is", "it", "its", "of", "on", "or",
    "our", "that", "the", "this", "to", "with", "your",
})
# fmt: on

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['’]s?\b")
_IRREGULAR = {
    "children": "child",
    "feet": "foot",
    "geese": "goose",
    "knives": "knife",
    "leaves": "leaf",
    "men": "man",
    "mice": "mouse",
    "scarves": "scarf",
    "shelves": "shelf",
    "teeth": "tooth",
    "women": "woman",
}
_NAME_STEMS_PAIRED_MAX = 8
_PREFIX_LENGTH_MAX = 10
_TEXT_MARK = "~"
_PAIR_MARK = "+"
_CODE_MARK = "="
_CODE_LENGTH_MAX = 64
_COMPOUND_LENGTH_MAX = 40
_COMPOUND = re.compile(r"[^\W_]+(?:[-‐‑–][^\W_]+){1,3}")


def words_of(text: str) -> list[str]:
    """Lower-case words in order, accents and possessives folded away: "Poppy's CAFÉ" → ["poppy", "cafe"]."""
    return [piece for word in _split(_POSSESSIVE.sub("", fold(text))) for piece in pieces_of(word)]


def _split(folded: str) -> list[str]:
    if folded.isascii():
        return _WORD.findall(folded)
    return "".join(sign if is_of_a_word(sign) else " " for sign in folded).split()


def joined_of(text: str) -> list[str]:
    """Hyphenated words written as one: "Wi-Fi T-shirt" → ["wifi", "tshirt"]."""
    compounds = _COMPOUND.findall(_POSSESSIVE.sub("", fold(text)))
    return ["".join(_WORD.findall(compound)) for compound in compounds if len(compound) <= _COMPOUND_LENGTH_MAX]


def code_key(code: str) -> str:
    """The key of a SKU however it is typed: in any case, with a # or blanks. "" for what is none."""
    plain = "".join(sign for sign in fold(code) if sign.isascii() and sign.isalnum())
    return _CODE_MARK + plain if 0 < len(plain) <= _CODE_LENGTH_MAX else ""


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Fold an English plural onto its singular; every other word is left as it is."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")) or (word.endswith("oes") and len(word) > 5):
        return word[:-2]
    return word[:-1]


def stems_of(text: str) -> list[str]:
    """The distinct stems of a text in order of appearance, without stopwords (unless it has nothing else)."""
    words = [*words_of(text), *joined_of(text)]
    telling = [word for word in words if word not in STOPWORDS] or words
    return list(dict.fromkeys(map(stem, telling)))


def text_key(term: str) -> str:
    """The key of a term that a product has in its description, brand or tags but not in its name."""
    return _TEXT_MARK + term


def pair_key(one: str, other: str) -> str:
    """The key of two terms that stand in one name, whatever their order."""
    return _PAIR_MARK.join(sorted((one, other)))


def is_word_key(key: str) -> bool:
    """Neither a pair's nor a SKU's."""
    return _PAIR_MARK not in key and not key.startswith(_CODE_MARK)


def stem_of_key(key: str) -> str:
    """The term of a key that is not a pair's."""
    return key.removeprefix(_TEXT_MARK)


def name_keys(stems: Sequence[str]) -> list[str]:
    """Each stem of a name, and each pair of its first stems."""
    pairs = combinations(stems[:_NAME_STEMS_PAIRED_MAX], 2)
    return [*stems, *(pair_key(one, other) for one, other in pairs)]


def text_keys(stems: Iterable[str], named: Iterable[str]) -> list[str]:
    """The marked stems of a description, less those the name already has."""
    known = set(named)
    return [text_key(term) for term in stems if term not in known]


def prefixes_of(word: str) -> list[str]:
    return [word[:length] for length in range(1, min(len(word), _PREFIX_LENGTH_MAX) + 1)]


def deletions_of(word: str) -> list[str]:
    """The word and each form of it with one letter missing.

    Two words one edit apart (a letter lost, added, changed, or two neighbours swapped) share such a form.
    """
    return list(dict.fromkeys([word, *(word[:at] + word[at + 1 :] for at in range(len(word)))]))


def is_one_edit_apart(one: str, other: str) -> bool:
    """True for one letter lost, added or changed, or two neighbours swapped (Damerau)."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    short, long = sorted((one, other), key=len)
    at = next((i for i, letter in enumerate(short) if letter != long[i]), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    swapped = short[:at] + short[at + 1 : at + 2] + short[at : at + 1] + short[at + 2 :]
    return short[at + 1 :] == long[at + 1 :] or swapped == long
