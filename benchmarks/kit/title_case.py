"""Owns title case for the names of a trace, which shops write in capitals: `CHILDREN'S 3RD BIRTHDAY MUG` is
`Children's 3rd Birthday Mug`. A name that has both cases already is left as it was meant."""

import re

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ELISION = re.compile(r"(?:[dlo]|mc|qu)['’](?=[^\W\d_]{2})|['’]")
_UNITS = "st nd rd th ct cm mm m ml cl l kg g mg oz lb in ft pc pcs pk x w v h ply"
_SMALL_WORDS = "a an and as at by for from in of on or the to with"
_SHORT_FORMS = "BBQ CD DIY DVD EU FM GPS LCD LED MP3 PC PVC TV UK US USA USB UV VIP XL XXL XS"
_AFTER_A_DIGIT = frozenset(_UNITS.split())
_SMALL = frozenset(_SMALL_WORDS.split())
_CAPITALS = frozenset(_SHORT_FORMS.split())


def title_case(name: str) -> str:
    if not (name.isupper() or name.islower()):
        return name
    words = list(_WORD.finditer(name))
    ends = {words[0].start(), words[-1].start()} if words else set()
    return _WORD.sub(lambda found: _word(found[0], name, found, found.start() in ends), name)


def _word(word: str, name: str, found: re.Match[str], at_an_end: bool) -> str:
    lower = word.lower()
    if word.upper() in _CAPITALS and name.isupper():
        return word
    if word[0].isdigit():
        digits = re.match(r"\d+", word)
        assert digits is not None
        unit = lower[digits.end() :]
        return digits[0] + (unit if unit in _AFTER_A_DIGIT else unit.upper())
    if lower in _SMALL and not at_an_end and name[found.end() : found.end() + 1] in ("", " "):
        return lower
    return _capitalised(lower)


def _capitalised(lower: str) -> str:
    """`l'oréal`, `o'neill` and `d'artagnan` begin twice; `children's` and `don't` once."""
    found = _ELISION.match(lower)
    if found is not None and len(found[0]) > 1:
        return found[0].capitalize() + lower[found.end() :].capitalize()
    return lower.capitalize()
