"""What `holdfast budgets` prints, writes and ends with."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from benchmarks.budgets.judge import broken, document, line, markdown
from benchmarks.budgets.plan import Budget, load
from benchmarks.budgets.run import Planting, Say, check, self_test
from benchmarks.kit.outcome import CHECK_FAILED, invalid_runs_reported

CI_SUMMARY = Path("runs") / "budgets.md"


def show_check(only: Sequence[str], as_json: bool, summary: Path | None) -> None:
    started = time.monotonic()
    with invalid_runs_reported():
        verdicts = check(_chosen(only), _sayer(started))
    seconds = time.monotonic() - started
    if as_json:
        _print_json(document(verdicts, seconds))
    else:
        for verdict in verdicts:
            click.echo(line(verdict))
        failed = broken(verdicts)
        click.echo(f"{len(verdicts)} budgets in {seconds:.0f} s, {len(failed)} broken")
    _write(summary, markdown(verdicts))
    if broken(verdicts):
        sys.exit(CHECK_FAILED)


def show_self_test(only: Sequence[str], as_json: bool, summary: Path | None) -> None:
    started = time.monotonic()
    with invalid_runs_reported():
        plantings = self_test(_chosen(only), _sayer(started))
    if as_json:
        _print_json(
            {
                "ok": not any(planting.missed for planting in plantings),
                "seconds": round(time.monotonic() - started, 1),
                "faults": [{"fault": planting.fault, **document(planting.verdicts, 0)} for planting in plantings],
            }
        )
    else:
        _print_plantings(plantings)
    _write(summary, "\n".join(markdown(planting.verdicts, f"With {planting.fault}") for planting in plantings))
    if any(planting.missed for planting in plantings):
        sys.exit(CHECK_FAILED)


def _print_plantings(plantings: Sequence[Planting]) -> None:
    for planting in plantings:
        for verdict in planting.verdicts:
            word = "NOT SEEN" if verdict.holds else "seen"
            click.echo(f"{word:<9} {planting.fault:<18} {line(verdict)}")
    missed = sum(len(planting.missed) for planting in plantings)
    click.echo(f"{len(plantings)} faults planted, {missed} budgets did not go red")


def _chosen(only: Sequence[str]) -> tuple[Budget, ...]:
    budgets = load()
    if unknown := sorted(set(only) - {budget.name for budget in budgets}):
        raise click.UsageError(f"no such budget: {', '.join(unknown)}")
    return tuple(budget for budget in budgets if not only or budget.name in only)


def _sayer(started: float) -> Say:
    def say(step: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {step}", err=True)

    return say


def _print_json(result: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2))


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
