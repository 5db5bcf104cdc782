"""How letters are folded, so that what is typed meets what is written: case, width and accents make no difference, but
what is a letter of its own in its script stays one."""

import re
import unicodedata
from collections.abc import Iterator

_PLAIN = str.maketrans(
    {
        **{"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ŧ": "t", "ŋ": "n", "ı": "i", "ƒ": "f", "ɓ": "b"},
        **{"æ": "ae", "œ": "oe", "ĳ": "ij", "þ": "th", "ß": "ss", "ĸ": "k", "ɖ": "d", "ɛ": "e", "ɔ": "o", "ə": "e"},
        **{"’": "'", "ʼ": "'", "\u00ad": None, "\u200b": None, "\u200c": None, "\u200d": None, "\ufeff": None},
    }
)  # letters that Unicode does not take apart, and signs that nobody sees
_ACCENTED = ("LATIN", "GREEK", "CYRILLIC", "HEBREW", "ARABIC")  # scripts whose marks people leave out
_WITHOUT_BLANKS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003134f]+"
)  # Thai, Lao, Burmese, Khmer, kana, Han


def fold(text: str) -> str:
    """Lower case, one width, without accents: "Ｓmørrebrød" → "smorrebrod". Voicing marks of kana and the vowel
    signs of Indic scripts are letters, and stay."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.casefold().translate(_PLAIN))
    return unicodedata.normalize("NFC", "".join(_without_accents(parts)).translate(_PLAIN))


def _without_accents(parts: str) -> Iterator[str]:
    accented = False
    for sign in parts:
        if unicodedata.combining(sign) == 0:
            accented = unicodedata.name(sign, "").startswith(_ACCENTED)
            yield sign
        elif not accented:
            yield sign


def is_of_a_word(sign: str) -> bool:
    return sign.isalnum() or unicodedata.category(sign)[0] == "M"


def pieces_of(word: str) -> list[str]:
    """Of scripts that write no blanks between words each sign and each pair of neighbours, so that any part of what is
    written is found; other words are whole."""
    if word.isascii() or not _WITHOUT_BLANKS.search(word):
        return [word]
    pieces, at = [], 0
    for run in _WITHOUT_BLANKS.finditer(word):
        pieces += [word[at : run.start()], *run[0], *(run[0][n : n + 2] for n in range(len(run[0]) - 1))]
        at = run.end()
    return [piece for piece in (*pieces, word[at:]) if piece]
