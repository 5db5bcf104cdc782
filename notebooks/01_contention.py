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
# # 1 · What does one hot SKU cost?
#
# **Question.** When everybody wants the same product, how many checkouts a second does each way of reserving allow, and
# which of them oversell?
#
# All strategies run interleaved in one run against the same real MongoDB, so a noisy machine hits them alike: read the
# ratios, not the absolute rates.

# %% tags=["parameters"]
small = True

# %%
from dataclasses import asdict

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from workloads.client.command_line import ask
from workloads.results.scalability import fit_scalability

buyers = [2, 4, 8, 32] if small else [2, 4, 16, 64, 128]
turn = (
    ["--rounds", "1", "--seconds", "0.3", "--skus", "50", "--scarce", "8"]
    if small
    else ["--rounds", "3", "--seconds", "1"]
)
runs = {n: ask("bench", "contention", "--buyers", str(n), *turn) for n in buyers}

# %%
frame = pd.DataFrame([{"buyers": n, **row} for n, run in runs.items() for row in run["strategies"]])
table = frame.pivot(index="name", columns="buyers", values="checkoutsPerSecond").round(0)
table

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for name, rows in frame.groupby("name"):
    left.plot(rows.buyers, rows.checkoutsPerSecond, marker="o", label=name.replace("_", " "))
left.set(xscale="log", yscale="log", xlabel="concurrent buyers", ylabel="checkouts a second")
left.legend(frameon=False, fontsize=8)
most = frame[frame.buyers == frame.buyers.max()].set_index("name")
most.oversold.plot.barh(ax=right, color="#a11d1d")
right.set(xlabel="units oversold", ylabel="")
plt.show()

# %% [markdown]
# The Universal Scalability Law splits what more buyers cost into waiting for one another (contention) and into making
# each other repeat work (coherency). Group commit turns both around: more waiting buyers make each commit larger.

# %%
laws = {}
for name in ("transaction_per_request", "group_commit"):
    rows = frame[frame.name == name]
    laws[name] = fit_scalability(rows.buyers.tolist(), rows.checkoutsPerSecond.tolist())
pd.DataFrame({name: asdict(law) | {"peak_concurrency": law.peak_concurrency} for name, law in laws.items()})

# %%
ratio = most.checkoutsPerSecond["group_commit"] / most.checkoutsPerSecond["transaction_per_request"]
over_update = most.checkoutsPerSecond["group_commit"] / most.checkoutsPerSecond["conditional_update"]
naive = int(most.oversold["read_then_write"])
answer = (
    f"With {frame.buyers.max()} buyers of one SKU, group commit takes **{ratio:,.0f} times** the checkouts of a transaction per "
    f"request and **{over_update:,.1f} times** those of a conditional update, and oversells nothing; "
    f"reading first and writing afterwards oversold {naive} units."
)
assert frame[frame.name == "group_commit"].oversold.sum() == 0, "group commit oversold"
assert naive > 0, "the benchmark cannot see an oversell"
assert ratio > (10 if small else 200), f"only {ratio:.0f} times a transaction per request"
Markdown(f"**Answer.** {answer}")
