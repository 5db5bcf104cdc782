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
# # 2 · What do the indexes do?
#
# **Question.** How much faster are the four documented operations with their index than without it, does the server really
# choose every index we declare, and what do they cost an order?
#
# "Before" is the same query on the same data without its index, interleaved with "after" in the same run.

# %% tags=["parameters"]
small = True

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from workloads.client.command_line import ask
from workloads.demo.command import running_stack

run = ask("bench", "lookups", *(["--quick"] if small else []))
rows = pd.DataFrame(run["rows"]).set_index("operation")
rows[
    [
        "documentedBeforeMs",
        "documentedAfterMs",
        "documentedRatio",
        "beforeMs",
        "afterMs",
        "ratio",
        "p95BeforeMs",
        "p95AfterMs",
    ]
]

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
rows[["beforeMs", "afterMs"]].plot.bar(ax=left, color=["#b9c9c6", "#0b5351"], rot=15, logy=True)
left.set(ylabel="milliseconds, median", xlabel="")
rows[["documentedRatio", "ratio"]].plot.bar(ax=right, color=["#b9c9c6", "#0b5351"], rot=15, logy=True)
right.set(ylabel="times faster", xlabel="")
plt.show()

# %% [markdown]
# The time without an index grows with the data; with it, hardly. So what a database of another size would show is better
# read off the documents that were examined: that is a count, the same on every machine.

# %%
rows[["docsExaminedBefore", "docsExaminedAfter"]]

# %% [markdown]
# ## Is each index the one the server chooses?
#
# `holdfast indexes` asks the server for its own plan of the query each index is declared for, without a hint, on samples with the
# live database's index definitions.

# %%
with running_stack(Path(tempfile.mkdtemp()) / "stack") as stack:
    proof = ask("indexes", environment=stack)
indexes = pd.DataFrame(proof["indexes"])
plans = (
    pd.DataFrame(list(indexes.pop("plan"))).drop(columns="index").join(indexes[["collection", "name", "kind", "ok"]])
)
plans["examinedPerReturned"] = plans.docsExamined / plans.returned
plans.groupby("kind").agg(
    indexes=("name", "size"), examinedPerReturned=("examinedPerReturned", "max"), ok=("ok", "all")
)

# %% [markdown]
# ## What does each cost?
#
# Keys that the server writes into and takes out of each index, per order of one line: a count, the same on every machine. Their
# time is CPU of the server with every index and with the fewest, in turns.

# %%
cost = ask("bench", "index-cost", *(["--quick"] if small else []))
written = pd.DataFrame(cost["indexes"])
written["index"] = written.collection + "." + written["index"]
secondary = written[written.cpuMicros.notna()].set_index("index")[["keysPlaced", "keysPaid", "keysExpired"]]
ax = secondary.iloc[::-1].plot.barh(stacked=True, figsize=(11, 5), color=["#0b5351", "#5fa8a3", "#e0a458"], width=0.7)
ax.set(xlabel="keys an order writes: placed, paid, or its hold runs out", ylabel="")
plt.show()

# %%
search, history = rows.loc["product search"], rows.loc["order history"]
answer = (
    f"At scale {run['scale']}, order history is **{history.ratio:,.0f} times** and product search **{search.ratio:,.1f} times** "
    f"faster with its index (medians); search looks at {search.docsExaminedAfter:,.0f} documents instead of "
    f"{search.docsExaminedBefore:,.0f}. The server chooses all {proof['count']} indexes for their queries, and an order that is "
    f"placed and paid writes {(secondary.keysPlaced + secondary.keysPaid).sum():.0f} keys into those that could be left out."
)
assert (rows.docsExaminedAfter < rows.docsExaminedBefore / 5).all(), "an index saves too little"
assert plans.ok.all(), "an index is not chosen, or reads too much"
assert proof["redundant"] == [], "an index is a prefix of another"
assert (rows.afterMs < rows.beforeMs).all(), "an operation is slower with its index"
Markdown(f"**Answer.** {answer}")
