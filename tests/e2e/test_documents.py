"""Every command that README, CONTRIBUTING and docs print is typed as it is printed, against the shared stack.

Two rules: `http://127.0.0.1:8000` is the stack's own address; and names of products come from a trace of two lines
(`HOLDFAST_TRACE`), since reading the packaged year takes each `seed` ten seconds. What takes long has a short form in
`INSTEAD`, and what needs servers of its own is only understood by click (`ELSEWHERE`), where another test runs it."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import documents
import pytest
from documents import PAGES, REPOSITORY, blocks, name
from selling import seller
from stacks import Stack

from service.cli import holdfast

PRINTED_URL = "http://127.0.0.1:8000"
PASSWORD = "a-passphrase-nobody-would-guess-1"
# What is typed instead of a line, and why.
INSTEAD = {
    "holdfast seed --products 1000 --users 50": ("holdfast seed --products 3 --users 2", "a thousand take a while"),
    "holdfast admin create you@example.com": (
        f"holdfast admin create you@example.com --password {PASSWORD}",
        "there is nobody to ask",
    ),
    "holdfast simulate hoarders --faults --seeds 60": ("holdfast simulate hoarders --faults --seeds 1", "a minute"),
    "holdfast simulate flash-sale --faults --seeds 20000 --log runs.jsonl --json": (
        "holdfast simulate flash-sale --faults --seeds 2 --log runs.jsonl --json",
        "ninety minutes",
    ),
    ".venv/bin/pytest tests/unit/inventory -k expired": (
        f"cd {REPOSITORY} && test -x .venv/bin/pytest && grep -rq 'def test.*expired' tests/unit/inventory",
        "the tests run by themselves",
    ),
}
# Where a test runs, small, what starts servers of its own; here click says whether it understands the line.
ELSEWHERE = {
    "holdfast up": "tests/e2e/stacks.py",
    "holdfast restored": "tests/integration/migration/test_restored.py",  # all sessions end
    "holdfast bench index-cost": "tests/integration/bench/test_bench_index_cost.py",
    "holdfast bench scaling --rounds 5 --json > measured.json": "tests/integration/bench/test_bench_scaling.py",
    "holdfast bench checkout --workers 1": "tests/integration/bench/test_bench_stack.py",
    "holdfast scale --measured measured.json": "tests/simulation/test_scale.py",
    "holdfast scale": "tests/simulation/test_scale.py",
    "holdfast bench lookups": "tests/integration/bench/test_search_bench.py",
    "holdfast bench relevance": "tests/integration/bench/test_search_bench.py",
    "holdfast bench flood": "tests/integration/bench/test_bench_stack.py",
    "holdfast bench layers": "tests/integration/bench/test_bench_stack.py",
}
# What several pages print is typed once.
TYPED_BEFORE: set[str] = set()
BLOCKS = [pytest.param(lines, id=f"{name(page)}:{lines[0][:40]}") for page in PAGES for lines in blocks(page)]


@pytest.fixture(scope="module")
def typing(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    """The folder commands are typed in, and their environment."""
    folder = tmp_path_factory.mktemp("documents")
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID"
    rows = ("FLUID MILK WHITE", "WHEAT BREAD", "GREEN TEA")
    lines = [f"{at},{at},{row},1,2017-01-0{at} 09:00,2.69,7" for at, row in enumerate(rows * 2, 1)]
    (folder / "trace.csv").write_text("\n".join([header, *lines]))
    (folder / "measured.json").write_text("{}")  # click looks whether it is there
    words = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb"}
    words |= {"HOLDFAST_DATA": str(stack.data), "HOLDFAST_TRACE": str(folder / "trace.csv")}
    return folder, {**os.environ, **stack.environment, **words}


def typed(line: str) -> str:
    """The line as it is given to the shell."""
    if line.startswith("make "):
        return f"make -n -C {REPOSITORY} {line.removeprefix('make ')}"  # what it would do: .ci/run types it
    return INSTEAD[line][0] if line in INSTEAD else line


@pytest.mark.parametrize("lines", BLOCKS)
def test_what_the_documents_print_can_be_typed(
    lines: list[str], stack: Stack, typing: tuple[Path, Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(typing[0])
    for line in lines:
        if line in ELSEWHERE:
            understood(line)
    script = "\n".join(typed(line) for line in lines if line not in ELSEWHERE and line not in TYPED_BEFORE)
    TYPED_BEFORE.update(line for line in lines if line.startswith("holdfast "))
    folder, environment = typing
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script.replace(PRINTED_URL, stack.url)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}"


def test_the_last_unit_is_answered_as_the_readme_shows(stack: Stack, typing: tuple[Path, Mapping[str, str]]) -> None:
    """The block above has sold it, or this one does: the second order is refused either way."""
    printed = [json.loads(answer.replace(", …", "")) for answer in documents.answers(REPOSITORY / "README.md")]
    lines = next(lines for lines in blocks(REPOSITORY / "README.md") if "seed" in lines[0])
    folder, environment = typing
    sku = sold_once(stack)
    script = "\n".join(lines[1:]).replace("HF-000001", sku).replace("order-", f"{sku}-").replace(PRINTED_URL, stack.url)
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    first, second = answered(done.stdout)
    assert parts(printed[0]) <= parts(first)
    assert first["order"]["status"] == printed[0]["order"]["status"]
    assert parts(printed[1]) <= parts(second)
    assert [second[key] for key in ("type", "title", "status")] == [
        printed[1][key] for key in ("type", "title", "status")
    ]


def sold_once(stack: Stack) -> str:
    return seller(stack.admin)(stock=1)


def answered(said: str) -> list[dict[str, Any]]:
    """The JSON documents that stand one behind the other."""
    found, at = [], 0
    while at < len(said.strip()):
        document, at = json.JSONDecoder().raw_decode(said, at)
        found.append(document)
    return found


def parts(document: Any, path: str = "") -> set[str]:
    """Every key of a document, with the keys it is in."""
    if isinstance(document, list):
        return parts(document[0], f"{path}[]") if document else set()
    if not isinstance(document, dict):
        return set()
    return {f"{path}.{key}" for key in document}.union(
        *(parts(value, f"{path}.{key}") for key, value in document.items())
    )


def understood(line: str) -> click.Command:
    """The command that click takes the line for, its options read. Raises click.UsageError for any it does not know."""
    words = shlex.split(re.split(r"[>|;]", line)[0])
    command, context, rest = _found(words[1:])
    command.parse_args(click.Context(command, parent=context), rest)
    return command


def _found(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    command: click.Command = holdfast
    context, rest = click.Context(holdfast, info_name="holdfast"), words
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, parent=context)
    return command, context, rest


def test_what_is_only_understood_here_is_run_by_the_test_that_is_named() -> None:
    printed = {line for page in PAGES for lines in blocks(page) for line in lines}
    assert [line for line in (*ELSEWHERE, *INSTEAD) if line not in printed] == []
    for line, path in ELSEWHERE.items():
        asked = line.split()[2 if line.startswith("holdfast bench") else 1].replace("-", "_")
        assert asked in (REPOSITORY / path).read_text().replace("-", "_"), f"{path} does not run {line}"


def inline_commands() -> Iterator[Any]:
    for page in PAGES:
        for span in dict.fromkeys(documents.spans(page)):
            if span.startswith("holdfast "):
                yield pytest.param(span, id=f"{name(page)}:{span}")


@pytest.mark.parametrize("span", list(inline_commands()))
def test_every_command_in_a_sentence_exists_with_its_options(span: str) -> None:
    words = shlex.split(re.split(r"[>|;]", span)[0].replace("…", ""))[1:]
    command, _, rest = _found(words)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert [word for word in rest if word.startswith("--") and word.split("=")[0] not in known | {"--help"}] == []
    if isinstance(command, click.Group):
        assert not rest or rest == ["--help"], f"{span}: {command.name} has no {rest}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in documents.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in documents.anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Every file a clone has, with a slash in front, so that the end of a path finds it."""
    listed = ["git", "-C", str(REPOSITORY), "ls-files", "--cached", "--others", "--exclude-standard"]
    return [f"/{path}" for path in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_is_named_exists(page: Path, tracked: list[str]) -> None:
    missing = [path for path in documents.named_files(page) if not any(each.endswith(f"/{path}") for each in tracked)]
    assert missing == []


def test_the_readme_says_what_was_measured() -> None:
    written = subprocess.run([sys.executable, REPOSITORY / "scripts/measurements.py", "--check"], check=False)
    assert written.returncode == 0, "run python scripts/measurements.py"
