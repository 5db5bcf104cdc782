"""The password of the embedded stores: made once, kept where only the owner of the stack's folder can read it.

Whoever else is on the machine can connect to a port of the loopback interface, and must not get further."""

import os
import secrets
from pathlib import Path


def kept(file: Path) -> str:
    """The password noted in `file`, made when there is none. Letters and digits only: it goes into URLs."""
    if not file.exists():
        write_private(file, secrets.token_hex(24))
    return file.read_text()


def write_private(file: Path, text: str) -> None:
    """For the owner's eyes only, and never half written."""
    half = file.with_name(f".{file.name}.new")
    half.unlink(missing_ok=True)
    with open(half, "x", opener=lambda path, flags: os.open(path, flags, mode=0o600)) as handle:
        handle.write(text)
    half.rename(file)
