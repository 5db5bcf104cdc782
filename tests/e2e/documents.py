"""What the documents print: commands in fenced blocks, commands within sentences, links, and paths of files."""

import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# The change log tells what was true once.
PAGES = sorted(
    {*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")} - {REPOSITORY / "CHANGELOG.md"},
    key=lambda page: (page.name != "README.md" or page.parent != REPOSITORY, page),
)
COMMAND = re.compile(r"(make|holdfast|curl|python|\.venv/bin/\w+|scripts/\S+|[A-Z][A-Z_]*=\S*) ?")
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(r"[\w./-]+/[\w.-]+\.(?:py|toml|sh|mjs|ts|json|md|sql|html|yml)")


def name(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path) -> Iterator[list[str]]:
    """The commands of each fenced block, as printed, without the comments behind them."""
    for block in FENCED.findall(page.read_text()):
        lines = block.replace("\\\n", " ").splitlines()
        found = [re.sub(r"\s+# .*", "", line) for line in lines if COMMAND.match(line)]
        if found:
            yield found


def spans(page: Path) -> list[str]:
    """What stands in code within sentences."""
    return SPAN.findall(FENCED.sub("", page.read_text()))


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(FENCED.sub("", page.read_text())) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_files(page: Path) -> set[str]:
    """Paths of files of the repository, but for those with a word in capitals that stands for any name."""
    found = {path for span in spans(page) for path in NAMED_FILE.findall(span) if path in span.split()}
    return {
        path for path in found if not re.search(r"(^|[/_])[A-Z]{3,}([/._]|$)", path) and not path.startswith("runs/")
    }


def answers(page: Path) -> list[str]:
    """The lines of its JSON blocks."""
    return [
        line
        for block in re.findall(r"^```json\n(.*?)^```$", page.read_text(), re.M | re.S)
        for line in block.splitlines()
    ]
