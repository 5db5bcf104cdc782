#!/usr/bin/env python3
"""Writes every setting of service/config.py to docs/operating/settings.md and to docker-compose.yml.

.venv/bin/python scripts/settings.py          # write
.venv/bin/python scripts/settings.py --check  # exit 1 if they are not in step
"""

import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path

from service.config import Config
from service.setting_rules import variable

REPOSITORY = Path(__file__).parents[1]
PAGE, COMPOSE = REPOSITORY / "docs/operating/settings.md", REPOSITORY / "docker-compose.yml"
SET_BY_COMPOSE = {"mongodb_uri", "redis_url", "app_name", "worker_ops_port"}  # a container's own
FIELD = re.compile(r"    (\w+): (\w+) = .*?(?:  # (.*))?$")
HEADING = re.compile(r"    # ([^a-z]*[a-z].*)$")
BLOCK = re.compile(r"(    # every setting.*\n)(?:    HOLDFAST_\w+:\n)*")
HEAD = """# Settings

Written by `scripts/settings.py` from `service/config.py`. Each is a variable of the environment and is checked when it
is read: a value that cannot be used ends the command at once, with its name and what it must be, and exit code 3.
`HOLDFAST_PRODUCTION=1` asks for an https address, a random secret and a real payment provider besides.

What is confidential (the addresses of the stores and of the mail server, secrets, keys, webhook addresses) may stand in
a file: `NAME_FILE` names it, `NAME` itself goes before it.

A variable that is empty counts as given. Blanks around a value do not, but for secrets.
"""


def described() -> dict[str, list[tuple[str, str]]]:
    """Each field and its comment, by section."""
    sections: dict[str, list[tuple[str, str]]] = {"the service": []}
    section = "the service"
    for line in inspect.getsource(Config).splitlines():
        if found := FIELD.match(line):
            sections[section].append((found[1], found[3] or ""))
        elif heading := HEADING.match(line):
            section = heading[1]
            sections.setdefault(section, [])
    return {name: rows for name, rows in sections.items() if rows}


def page() -> str:
    by_name = {field.name: field for field in fields(Config)}
    parts = [HEAD]
    for section, rows in described().items():
        parts.append(f"\n## {section[0].upper()}{section[1:]}\n\n| variable | default | what |\n|---|---|---|\n")
        for name, comment in rows:
            default = by_name[name].default
            shown = f"`{int(default) if isinstance(default, bool) else default}`" if default != "" else "–"
            parts.append(f"| `{variable(name)}` | {shown} | {comment} |\n")
    return "".join(parts)


def compose() -> str:
    passed = "".join(f"    {variable(f.name)}:\n" for f in fields(Config) if f.name not in SET_BY_COMPOSE)
    return BLOCK.sub(lambda found: found[1] + passed, COMPOSE.read_text())


def main() -> int:
    written = {PAGE: page(), COMPOSE: compose()}
    if "--check" in sys.argv:
        return int(any(not file.exists() or file.read_text() != text for file, text in written.items()))
    for file, text in written.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
