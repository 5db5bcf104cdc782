"""The password of the embedded stores: made once, kept where only the owner of the stack's folder can read it.

Whoever else is on the machine can connect to a port of the loopback interface, and must not get further."""

import secrets
from pathlib import Path

from service.stack.folder import write_private


def kept(file: Path) -> str:
    """The password noted in `file`, made when there is none. Letters and digits only: it goes into URLs."""
    if not file.exists():
        write_private(file, secrets.token_hex(24))
    return file.read_text()
