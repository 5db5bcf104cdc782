"""The shape of the code, held by a test: who may import whom, what a file may be called, how large it may grow."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import shape

REPOSITORY = Path(__file__).parent.parent
SERVICE = REPOSITORY / "service"
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
BOOTSTRAP_LINES_MAX = 120
NAMELESS = {"utils", "util", "helpers", "helper", "common", "constants", "misc"}

DOMAIN_FILES = {"__init__", "models", "repository", "usecases", "schemas", "routes", "tasks", "indexes", "wiring"}
# What a domain needs beyond the closed set, so that no file of it has two jobs.
DOMAIN_EXTRAS = {
    "auth": {
        *("api_key_reader", "api_key_repository", "api_key_routes", "api_key_schemas", "api_keys"),
        *("account_routes", "accounts", "attempts", "devices", "hash_queue", "mails", "passwords", "personal_data"),
        *("second_factor", "second_factor_repository", "second_factor_routes"),
        *("sessions", "tokens", "wiring"),
    },
    "cart": {"wishlists"},
    "catalog": {
        *("file_routes", "letters", "offers", "popularity", "positions", "product_files", "product_reads"),
        *("review_repository", "review_routes", "reviews", "terms"),
    },
    "inventory": {
        *("allowance", "books", "decisions", "documents", "imports", "import_routes", "import_schemas"),
        *("known_stock", "ledger", "metrics"),
    },
    "orders": {
        "buyers",
        "coupon_routes",
        "coupons",
        "expiry",
        "guest_links",
        "guest_routes",
        "hold_limits",
        "invariants",
        "overview",
        "postings",
        "pricing",
        "refunds",
        "repairs",
        "return_models",
        "return_routes",
        "returns",
        "sales",
        "settlement",
        "simulator_routes",
    },
    "payments": {"simulator", "stripe_gateway", "webhooks"},
    "alerts": {"recipients", "recipient_repository"},
    "jobs": {"broker", "cron", "runner", "scheduler"},
}
# How one domain enters another. Bootstrap, which wires them, may import everything; wire shapes may share types.
ENTRANCES = {"models", "usecases"}
SHARED_AMONG_THEMSELVES = {"schemas", "wiring"}
MORE_ENTRANCES = {
    "inventory": {"allowance", "books", "ledger"},
    "catalog": {"offers"},
    "payments": {"simulator", "webhooks"},
    "jobs": {"runner"},
}

CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}
CHANCE = {"uuid.uuid1", "uuid.uuid4", "uuid1", "uuid4"}
SOURCES_OF_TIME_AND_CHANCE = {SERVICE / "clock.py", SERVICE / "ids.py"}
STOCK_FIELDS = {"onHand", "reserved", "available"}
MAY_WRITE_STOCK = {
    SERVICE / "inventory" / "ledger.py",
    SERVICE / "inventory" / "repository.py",
    SERVICE / "inventory" / "documents.py",
}


Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    path: Path
    tree: ast.Module
    lines: int

    def at(self, node: ast.stmt | ast.expr) -> str:
        return f"{self.path.relative_to(REPOSITORY)}:{node.lineno}"


def sources(*folders: str) -> Iterator[Source]:
    for folder in folders:
        for path in files(folder):
            if path.suffix == ".py":
                text = path.read_text()
                yield Source(path, ast.parse(text, str(path)), len(text.splitlines()))


def files(folder: str) -> list[Path]:
    """What is ours: no caches, nothing that npm installed."""
    paths = sorted(path for path in (REPOSITORY / folder).rglob("*") if path.is_file())
    return [path for path in paths if not {"node_modules", "__pycache__"} & {*path.parts}]


@pytest.fixture(scope="module")
def everything() -> list[Source]:
    return list(sources("service", "workloads", "benchmarks", "tests"))


@pytest.fixture(scope="module")
def service(everything: list[Source]) -> list[Source]:
    return [source for source in everything if SERVICE in source.path.parents]


def test_imports_only_go_down_the_ladder() -> None:
    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(linter, check=False, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_domain_has_only_files_that_a_newcomer_can_guess() -> None:
    strangers = [
        f"{domain}/{path.name}"
        for domain, extras in DOMAIN_EXTRAS.items()
        for path in (SERVICE / domain).glob("*.py")
        if path.stem not in DOMAIN_FILES | extras
    ]
    assert not strangers, listed(strangers)


def test_every_extra_file_of_a_domain_still_exists() -> None:
    gone = [
        f"{domain}/{extra}.py"
        for domain, extras in DOMAIN_EXTRAS.items()
        for extra in extras
        if not (SERVICE / domain / f"{extra}.py").exists()
    ]
    assert not gone, listed(gone)


def test_a_domain_is_entered_through_its_use_cases(service: list[Source]) -> None:
    trespasses = [
        f"{source.at(node)} imports {module}"
        for source in service
        if (home := source.path.relative_to(SERVICE).parts[0]) in DOMAIN_EXTRAS
        for node, module in imports(source.tree)
        if (target := module.split(".")[1:3]) and target[0] in DOMAIN_EXTRAS.keys() - {home}
        if len(target) < 2 or target[1] not in ENTRANCES | MORE_ENTRANCES.get(target[0], set())
        if target[1:2] != [source.path.stem] or source.path.stem not in SHARED_AMONG_THEMSELVES
    ]
    assert not trespasses, listed(trespasses)


def test_no_file_has_a_name_that_says_nothing(everything: list[Source]) -> None:
    nameless = [str(source.path) for source in everything if {source.path.stem, source.path.parent.name} & NAMELESS]
    assert not nameless, listed(nameless)


def test_every_file_that_is_not_code_is_packaged() -> None:
    packaged = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    left_out = [
        str(path)
        for folder in ("service", "workloads", "benchmarks")
        for path in files(folder)
        if path.suffix != ".py" and f"*{path.suffix}" not in packaged
    ]
    assert not left_out, listed(left_out)


def test_functions_fit_on_a_screen(everything: list[Source]) -> None:
    long = [
        f"{source.at(node)} {node.name}: {length} lines"
        for source in everything
        for node in ast.walk(source.tree)
        if isinstance(node, Function)
        if (length := own_lines(node)) > FUNCTION_LINES_MAX
    ]
    assert not long, listed(long)


def test_files_have_one_job(everything: list[Source]) -> None:
    long = [f"{source.path}: {source.lines} lines" for source in everything if source.lines > FILE_LINES_MAX]
    assert not long, listed(long)


def test_every_module_says_what_it_owns(service: list[Source]) -> None:
    silent = [str(source.path) for source in service if source.tree.body and not ast.get_docstring(source.tree)]
    assert not silent, listed(silent)


def test_time_and_chance_come_from_the_clock_and_the_ids(service: list[Source]) -> None:
    taken = [
        f"{source.at(node)} calls {name}"
        for source in service
        if source.path not in SOURCES_OF_TIME_AND_CHANCE
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func))
        if any(name == banned or name.endswith(f".{banned}") for banned in CLOCKS | CHANCE)
    ]
    assert not taken, listed(taken)


def test_only_the_ledger_writes_stock(service: list[Source]) -> None:
    writes = [
        f"{source.at(update)} writes {sorted(fields)}"
        for source in service
        if source.path not in MAY_WRITE_STOCK
        for update in update_documents(source.tree)
        if (fields := {key.partition(".")[0] for key in text_keys(update)} & STOCK_FIELDS)
    ]
    assert not writes, listed(writes)


def test_nothing_is_made_at_import_time(service: list[Source]) -> None:
    """A client, an application or a broker is made by bootstrap, so importing a module opens nothing."""
    costly = {"AsyncIOMotorClient", "MongoClient", "AsyncMongoClient", "Redis", "Sanic", "RedisStreamBroker"}
    made = [
        f"{source.at(node)} makes {name}"
        for source in service
        for statement in source.tree.body
        if not isinstance(statement, Function | ast.ClassDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)).split(".")[0] in costly
    ]
    assert not made, listed(made)


def test_no_constructor_of_the_service_takes_more_than_six() -> None:
    assert not shape.constructors_over(shape.sources(REPOSITORY, "service"))


def test_bootstrap_only_composes() -> None:
    assert len((SERVICE / "bootstrap.py").read_text().splitlines()) < BOOTSTRAP_LINES_MAX


@pytest.mark.parametrize(
    "planted",
    ['books.update_one({}, {"$inc": {"reserved": -1}})', 'books.update_one({}, [{"$set": {"available": 0}}])'],
)
def test_a_planted_write_to_stock_is_seen(planted: str) -> None:
    assert [text_keys(update) & STOCK_FIELDS for update in update_documents(ast.parse(planted))] != [set()]


def listed(findings: list[str]) -> str:
    return "\n" + "\n".join(findings)


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without the functions defined inside: a factory of handlers is as long as what it does itself."""
    inner = [node for statement in function.body for node in outermost_functions(statement)]
    return lines_of(function) - sum(lines_of(node) for node in inner)


def outermost_functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    if isinstance(node, Function):
        yield node
    else:
        for child in ast.iter_child_nodes(node):
            yield from outermost_functions(child)


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return (function.end_lineno or function.lineno) - first + 1


def imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Every imported dotted name of the service, `from package import name` as `package.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names if alias.name.startswith("service."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("service."):
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def update_documents(tree: ast.Module) -> Iterator[ast.Dict]:
    """The operand of each update operator: the inner document of `{"$set": {...}}`."""
    operators = {"$set", "$inc", "$unset", "$min", "$max", "$mul", "$setOnInsert", "$rename"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in operators and isinstance(value, ast.Dict):
                    yield value


def text_keys(document: ast.Dict) -> set[str]:
    return {key.value for key in document.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
