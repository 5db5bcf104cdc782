"""`holdfast budgets`: measures what is declared and judges it; with `--self-test`, breaks the service on purpose and
requires each budget to say so."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.budgets import faults, probes
from benchmarks.budgets.judge import Verdict, judge
from benchmarks.budgets.plan import Budget
from benchmarks.kit.served_stack import Served, served

Say = Callable[[str], None]


def check(budgets: Sequence[Budget], say: Say) -> list[Verdict]:
    """Every budget, on one healthy stack."""
    with served() as stack:
        probes.seed(stack)
        say("seeded")
        return judge(budgets, measure(stack, budgets, say))


def measure(stack: Served, budgets: Sequence[Budget], say: Say) -> probes.Figures:
    """The figures of the probes that `budgets` name, as `probe.figure`."""
    figures: probes.Figures = {}
    wanted = {budget.probe for budget in budgets}
    for name, probe in probes.PROBES.items():
        if name in wanted:
            figures |= {f"{name}.{key}": value for key, value in probe(stack).items()}
            say(name)
    return figures


@dataclass(frozen=True, slots=True)
class Planting:
    """A fault, and what the budgets that should see it said."""

    fault: str
    verdicts: tuple[Verdict, ...]

    @property
    def missed(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.holds]


def self_test(budgets: Sequence[Budget], say: Say) -> list[Planting]:
    """Plants each fault that the budgets name in a stack of its own and measures the budgets that name it."""
    unknown = sorted({budget.fault for budget in budgets} - faults.FAULTS)
    assert not unknown, f"no such fault: {unknown}"
    return [plant(fault, budgets, say) for fault in sorted({budget.fault for budget in budgets})]


def plant(fault: str, budgets: Sequence[Budget], say: Say) -> Planting:
    """Both in the served processes and in this one, where the probes that serve themselves run."""
    concerned = [budget for budget in budgets if budget.fault == fault]
    program = (sys.executable, "-m", "benchmarks.budgets.faulty_stack", "--fault", fault)
    with served(program=program) as stack, faults.planted(fault):
        probes.seed(stack)
        say(f"{fault}: seeded")
        if fault in faults.DONE_TO_THE_STACK:
            faults.DONE_TO_THE_STACK[fault](stack)
        verdicts = judge(concerned, measure(stack, concerned, lambda probe: say(f"{fault}: {probe}")))
    return Planting(fault, tuple(verdicts))
