"""How words become search terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.catalog.terms import (
    deletions_of,
    is_one_edit_apart,
    is_word_key,
    name_keys,
    pair_key,
    prefixes_of,
    stem,
    stems_of,
    text_key,
    text_keys,
    words_of,
)

word = st.text("abcdefghij", min_size=4, max_size=12)


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("hearts", "heart"),
        ("boxes", "box"),
        ("glasses", "glass"),
        ("dishes", "dish"),
        ("candies", "candy"),
        ("ties", "tie"),
        ("shoes", "shoe"),
        ("tomatoes", "tomato"),
        ("knives", "knife"),
        ("children", "child"),
    ],
)
def test_a_plural_meets_its_singular(plural: str, singular: str) -> None:
    assert stem(plural) == stem(singular) == singular


@pytest.mark.parametrize("same", ["glass", "bus", "iris", "tea", "gas", "3", "dress"])
def test_what_is_no_plural_is_left_alone(same: str) -> None:
    assert stem(same) == same


def test_case_accents_punctuation_and_possessives_are_folded() -> None:
    assert words_of("Poppy's CAFÉ, T-LIGHT/2") == ["poppy", "cafe", "t", "light", "2"]


def test_stopwords_are_dropped_unless_there_is_nothing_else() -> None:
    assert stems_of("a set of the hearts") == ["set", "heart"]
    assert stems_of("of the") == ["of", "the"]


def test_a_name_has_a_key_for_each_word_and_each_pair() -> None:
    assert name_keys(["red", "heart", "mug"]) == ["red", "heart", "mug", "heart+red", "mug+red", "heart+mug"]
    assert pair_key("red", "heart") == pair_key("heart", "red")


def test_a_description_adds_only_what_the_name_has_not() -> None:
    assert text_keys(["red", "gift"], ["red", "mug"]) == [text_key("gift")]


def test_no_word_is_mistaken_for_a_mark() -> None:
    assert all(is_word_key(each) for each in stems_of("red+blue ~heart =a a+b"))


def test_the_keys_of_a_long_name_stay_few() -> None:
    assert len(name_keys([f"word{number}" for number in range(40)])) == 40 + 28


@given(word)
def test_prefixes_begin_the_word(text: str) -> None:
    assert all(text.startswith(prefix) for prefix in prefixes_of(text))
    assert len(prefixes_of(text)) == min(10, len(text))


@given(word, st.integers(0, 11), st.sampled_from(["lost", "added", "changed", "swapped"]), st.sampled_from("xyz"))
def test_two_words_one_edit_apart_share_a_shortened_form(text: str, at: int, edit: str, letter: str) -> None:
    at %= len(text) - 1
    typo = {
        "lost": text[:at] + text[at + 1 :],
        "added": text[:at] + letter + text[at:],
        "changed": text[:at] + letter + text[at + 1 :],
        "swapped": text[:at] + text[at + 1] + text[at] + text[at + 2 :],
    }[edit]
    assert typo == text or is_one_edit_apart(text, typo)
    assert is_one_edit_apart(text, typo) == is_one_edit_apart(typo, text)
    assert set(deletions_of(text)) & set(deletions_of(typo))


@given(word, word)
def test_one_edit_is_what_the_textbook_says(one: str, other: str) -> None:
    assert is_one_edit_apart(one, other) == (optimal_alignment_distance(one, other) == 1)


def optimal_alignment_distance(one: str, other: str) -> int:
    """Damerau-Levenshtein with neighbouring swaps, by the table."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            changed = table[i - 1, j - 1] + (one[i - 1] != other[j - 1])
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, changed)
            if i > 1 and j > 1 and one[i - 2 : i] == other[j - 1] + other[j - 2]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[len(one), len(other)]
