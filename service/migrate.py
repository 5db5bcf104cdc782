"""`holdfast migrate`: the stores are brought to this version, by one at a time."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from service import bootstrap, migrations
from service.infra.mongo.index_changes import Duplicates
from service.migration.migrate import AnotherMigrates, Report, UnknownIndex
from service.options import as_json, data_option
from service.stack.locate import EXIT_INVALID, STORES_UNREACHABLE, NoStack, configuration

EXIT_FAILED = 1


@click.command()
@data_option
@click.option("--dry-run", is_flag=True, help="Print what would be done and change nothing.")
@click.option(
    "--drop", multiple=True, metavar="COLLECTION.INDEX", help="An index to drop that this version does not need."
)
@as_json
def migrate(data: Path, dry_run: bool, drop: Sequence[str], as_json: bool) -> int:
    """Bring indexes and schema to this version, while the processes of the version before go on."""
    try:
        report = asyncio.run(_migrated(data, dry_run, drop, as_json))
    except UnknownIndex as error:
        raise click.BadParameter(str(error), param_hint="--drop") from None
    except AnotherMigrates as error:
        click.echo(error, err=True)
        return EXIT_INVALID
    except Duplicates as error:
        click.echo("\n".join(error.twice), err=True)
        click.echo("nothing was changed for these: make them differ, and run it again", err=True)
        return EXIT_FAILED
    except STORES_UNREACHABLE as error:
        raise NoStack(f"the stack in {data} does not answer: {error}") from error
    click.echo(json.dumps({"dryRun": dry_run, **_json(report)}) if as_json else _text(report, dry_run))
    return EXIT_FAILED if report.duplicates else 0


async def _migrated(data: Path, dry_run: bool, drop: Sequence[str], as_json: bool) -> Report:
    async with migrations.opened(configuration(data), bootstrap.build) as migration:
        return await migration.run(dry_run=dry_run, drop=drop, say=lambda line: click.echo(line, err=as_json))


def _json(report: Report) -> dict[str, Any]:
    fields = asdict(report)
    return {"schema": {"before": fields.pop("before"), "after": fields.pop("after")}, **fields}


def _text(report: Report, dry_run: bool) -> str:
    lines = [f"would {each}" for each in report.changes + report.steps] if dry_run else []
    lines += [
        f"{name} is not needed any more: the next schema version drops it, or --drop {name}" for name in report.retired
    ]
    lines += [f"{name} is none of ours and stays, unless --drop {name}" for name in report.undeclared]
    lines += report.duplicates
    done = "schema {0.before}, would become {0.after}" if dry_run else "schema {0.before} is now {0.after}"
    if report.before == report.after:
        done = "schema {0.after}"
    lines.append(done.format(report) + ("" if report.changes or report.steps else ", nothing to do"))
    return "\n".join(lines)
