"""The commands that run the service or act on a running one."""

import asyncio
import getpass
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from service import bootstrap, startup
from service.auth.api_key_schemas import KEY_NAME_MAX
from service.auth.api_keys import Shown
from service.auth.models import TooManyApiKeys, User
from service.auth.schemas import NAME_PATTERN
from service.bootstrap import Shop
from service.errors import Invalid
from service.infra.mongo import client as mongo
from service.infra.mongo import index_proof
from service.jobs.usecases import JobFailed, UnknownJob
from service.options import as_json, data_option
from service.orders.invariants import Audit
from service.orders.repairs import Repairs, beyond_repair
from service.presence import presence
from service.stack.locate import STORES_UNREACHABLE, NoStack, configuration
from service.web.audit.chain import AuditEntry
from service.web.http.access import SCOPES

# Asked of the system: FORCE_COLOR, which notebooks set, would put control codes into what is captured.
errors = Console(stderr=True, force_terminal=os.isatty(2))


@click.command()
@data_option
@as_json
@click.option("--log", "log", is_flag=True, help="Verify the audit log's hash chain instead.")
@click.option("--repair", is_flag=True, help="Correct stock and holds by movements with a reason; says what it cannot.")
@click.option("--dry-run", is_flag=True, help="With --repair: say what would be done, and do nothing.")
def audit(data: Path, as_json: bool, log: bool, repair: bool, dry_run: bool) -> int:
    """Check the books: stock, holds, orders and money agree. Changes nothing, unless told to --repair."""
    if dry_run and not repair:
        raise click.UsageError("--dry-run goes with --repair")
    if log and repair:
        raise click.UsageError("The audit log is evidence: it is not repaired")
    work = repaired(dry_run) if repair else _verified if log else audited
    result = with_shop(data, work)
    if as_json:
        click.echo(json.dumps(result, default=str))
    else:
        _show_checks(result["checks"])
        _show_repairs(result)
    return 0 if result["ok"] else 1


async def _verified(shop: Shop) -> dict[str, Any]:
    return await shop.audit_log.verify()


def repaired(dry_run: bool) -> Callable[[Shop], Awaitable[dict[str, Any]]]:
    """Repairs, or says what would be done; and what the audit says afterwards."""

    async def work(shop: Shop) -> dict[str, Any]:
        with mongo.client_without_timeout(shop.config) as client:
            database, actor = client[shop.config.database], f"cli:{getpass.getuser()}"
            repairs = Repairs(client, database, shop.ledger, shop.expiry, shop.clock, actor)
            steps = [step.does for step in await repairs.plan()] if dry_run else await repairs.run()
        result = await audited(shop)
        left = [] if dry_run else beyond_repair(result["checks"])
        return {**result, "dryRun": dry_run, "repairs": steps, "beyondRepair": left}

    return work


def _show_repairs(result: Mapping[str, Any]) -> None:
    for step in result.get("repairs", ()):
        click.echo(f"{'would ' if result['dryRun'] else 'done: '}{step}")
    for left in result.get("beyondRepair", ()):
        click.echo(f"not repaired, {left['check'].replace('_', ' ')}: {left['why']}")
    if result.get("repairs") == []:
        click.echo("nothing to repair")


async def audited(shop: Shop) -> dict[str, Any]:
    """What the audit says of a shop of any size."""
    with errors.status("auditing") as status, mongo.client_without_timeout(shop.config) as client:
        return await Audit(client, client[shop.config.database], shop.clock).run(
            lambda name: status.update(f"auditing: {name} done")
        )


def _show_checks(checks: list[dict[str, Any]]) -> None:
    table = Table("check", "", "violations", "examples")
    for check in checks:
        examples = json.dumps(check["examples"], default=str) if check["examples"] else ""
        mark = "[green]ok[/]" if check["ok"] else "[red]violated[/]"
        table.add_row(check["name"].replace("_", " "), mark, str(check["violations"]), examples)
    Console().print(table)


@click.group()
def admin() -> None:
    """Manage administrators and the keys of services."""


@admin.command()
@data_option
@click.argument("email")
@click.option("--password", help="Asked for when left out; `-` makes one and prints it.")
def create(data: Path, email: str, password: str | None) -> None:
    """Create the first administrator, or make an existing user one."""
    made = secrets.token_urlsafe(18) if password == "-" else None
    chosen = made or password or click.prompt("Password", hide_input=True, confirmation_prompt=True)
    try:
        admin = with_shop(data, lambda shop: _made_admin(shop, email, chosen))
    except Invalid as error:
        raise click.UsageError("; ".join(each["message"] for each in error.extra["errors"])) from None
    click.echo(f"{admin.email} is an administrator" + (f", password {made}" if made else ""))


@admin.command("reset-second-factor")
@data_option
@click.argument("email")
def reset_second_factor(data: Path, email: str) -> None:
    """Remove the second factor of somebody who has lost it; ends all sessions of that account."""
    user = with_shop(data, lambda shop: _reset_second_factor(shop, email))
    if user is None:
        raise click.BadParameter("There is no account with this address", param_hint="EMAIL")
    click.echo(f"{user.email} signs in with the password alone")


@admin.command("create-api-key")
@data_option
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(list(SCOPES)), help="Repeatable.")
@click.option("--days", type=click.IntRange(1, 3_650), help="Until it expires; without, it works until revoked.")
def create_api_key(data: Path, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make an API key for a service; prints it, this once."""
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > KEY_NAME_MAX:
        raise click.BadParameter(f"1 to {KEY_NAME_MAX} signs, none of them < or >", param_hint="NAME")
    try:
        shown = with_shop(data, lambda shop: _made_key(shop, name, scopes, days))
    except TooManyApiKeys as error:
        raise click.UsageError(error.detail) from None
    click.echo(shown.text)


async def _made_key(shop: Shop, name: str, scopes: tuple[str, ...], days: int | None) -> Shown:
    ends = None if days is None else shop.clock.now() + timedelta(days=days)
    shown = await bootstrap.http_edge(shop).auth.api_keys.create(name, scopes, f"cli:{getpass.getuser()}", ends)
    await _record(shop, "holdfast admin create-api-key", f"/api/admin/api-keys/{shown.key.id}", shown.key.id)
    return shown


async def _made_admin(shop: Shop, email: str, password: str) -> User:
    admin = await bootstrap.http_edge(shop).auth.accounts.create_admin(email, password)
    await _record(shop, "holdfast admin create", _path_of(admin), admin.id)
    return admin


async def _reset_second_factor(shop: Shop, email: str) -> User | None:
    accounts = bootstrap.http_edge(shop).auth.accounts
    user = next(iter(await accounts.find_by_email(email)), None)
    if user is not None:
        await accounts.reset_second_factor(user.id)
        await _record(shop, "holdfast admin reset-second-factor", _path_of(user), user.id)
    return user


def _path_of(user: User) -> str:
    return f"/api/auth/users/{user.id}"


async def _record(shop: Shop, action: str, target: str, subject: str) -> None:
    """Like what admins do over HTTP: whoever can run this has the machine."""
    await shop.audit_log.record(
        AuditEntry(
            actor=f"cli:{getpass.getuser()}",
            role="operator",
            action=action,
            target=target,
            outcome="ok",
            status=0,
            address="",
            request_id="",
            subject=subject,
        )
    )


@click.group()
def jobs() -> None:
    """Run background jobs by hand."""


@jobs.command("run")
@data_option
@as_json
@click.argument("name")
def run_job(data: Path, as_json: bool, name: str) -> int:
    """Run one job now and print its result: expired-cleanup, low-stock-check, out-of-stock-check."""
    try:
        result = with_shop(data, lambda shop: bootstrap.background(shop).jobs.run_now(name))
    except UnknownJob as error:
        raise click.BadParameter(error.detail, param_hint="NAME") from None
    except JobFailed as error:
        errors.print(f"[red]{name} failed:[/] {error.detail}")
        return 1
    click.echo(json.dumps(result, default=str) if as_json else f"{name}: {json.dumps(result, default=str)}")
    return 0


@click.command()
@data_option
@as_json
def indexes(data: Path, as_json: bool) -> int:
    """Prove each index by the server's own plan."""
    proof = with_shop(data, _proven)
    if as_json:
        click.echo(msgspec.json.encode(proof).decode())
    else:
        _show_indexes(proof)
    return 0 if all(index["ok"] for index in proof["indexes"]) and not proof["redundant"] else 1


async def _proven(shop: Shop) -> dict[str, Any]:
    with errors.status("proving"), mongo.client_without_timeout(shop.config) as client:
        return await index_proof.prove(client[shop.config.database], bootstrap.INDEXES)


def _show_indexes(proof: dict[str, Any]) -> None:
    table = Table("collection", "index", "kind", "serves", "examined / returned", "")
    for index in proof["indexes"]:
        plan = index["plan"]
        figures = f"{plan['docsExamined']} / {plan['returned']}"
        mark = "[green]ok[/]" if index["ok"] else "[red]not used[/]"
        table.add_row(index["collection"], index["name"], index["kind"], index["serves"], figures, mark)
    Console().print(table, f"{proof['count']} indexes, redundant: {proof['redundant'] or 'none'}")


def with_shop(data: Path, work: Callable[[Shop], Awaitable[Any]]) -> Any:
    """Does `work` on the stack in `data`. Raises NoStack (exit 2) when there is none or it does not answer."""

    async def body() -> Any:
        config = startup.named(configuration(data))
        async with bootstrap.shop(config) as shop, presence(shop.stores, config.app_name):
            return await work(shop)

    try:
        return asyncio.run(body())
    except STORES_UNREACHABLE as error:
        raise NoStack(f"the stack in {data} does not answer: {error}") from error
