"""E-mail addresses: one rule for every entrance, by the library email-validator, without asking the DNS.

An address is kept trimmed, in NFC, its domain in lower case and in Unicode, so `user@xn--mnchen-3ya.de` and
`user@münchen.de` are one account. `ascii_form` is what goes over SMTP.
"""

import re
from typing import Any

from service.errors import Invalid

SENTENCE = "Enter an e-mail address like ada@example.com"
LENGTH_MAX = 254  # RFC 5321 §4.5.3.1.3: a path has 256 octets, its brackets included
SHAPE = re.compile(r"[^@\s]{1,254}@[^@\s]{1,254}(?![\s\S])")


class BadAddress(Invalid):
    code, title = Invalid.code, "This is not an e-mail address"

    def __init__(self, path: str = "email") -> None:
        super().__init__(SENTENCE, errors=[{"path": path, "message": SENTENCE}])


def parse_address(text: str, path: str = "email") -> str:
    """The address as it is kept. Raises BadAddress, whose error names the field `path`."""
    from email_validator import EmailNotValidError

    try:
        return str(_validated(text.strip()).normalized)
    except EmailNotValidError:
        raise BadAddress(path) from None


def parse_known_address(text: str, path: str = "email") -> str:
    """As `parse_address`, for looking an account up: it may have been opened when the rule was another one."""
    try:
        return parse_address(text, path)
    except BadAddress:
        if SHAPE.match(text.strip()):
            return text.strip()
        raise


def ascii_form(address: str) -> str:
    """With the domain as the DNS has it. An address whose local part is not ASCII has no such form: it is returned as
    it is and needs SMTPUTF8."""
    from email_validator import EmailNotValidError

    if address.isascii():
        return address
    try:
        return str(_validated(address).ascii_email or address)
    except EmailNotValidError:
        return address


def _validated(text: str) -> Any:
    """Imported when the first address comes: its tables take a tenth of a second, which no command should wait for."""
    from email_validator import EmailNotValidError, validate_email

    if len(text) > LENGTH_MAX:
        raise EmailNotValidError("too long")
    return validate_email(text, check_deliverability=False, strict=True)
