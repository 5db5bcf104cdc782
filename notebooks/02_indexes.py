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
# **Question.** How much faster are the four documented operations with their index than without it, and does the server
# really use every index we declare?
#
# "Before" is the same query on the same data without its index, interleaved with "after" in the same run.

# %% tags=["parameters"]
small = True

# %%
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from workloads.asking import ask

run = ask("bench", "lookups", "--scale", "0.05" if small else "1.0", *(["--samples", "80"] if small else []))
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

# %%
search, history = rows.loc["product search"], rows.loc["order history"]
answer = (
    f"At scale {run['scale']}, order history is **{history.ratio:,.0f} times** and product search **{search.ratio:,.1f} times** "
    f"faster with its index (medians); search looks at {search.docsExaminedAfter:,.0f} documents instead of "
    f"{search.docsExaminedBefore:,.0f}."
)
assert (rows.docsExaminedAfter < rows.docsExaminedBefore / 5).all(), "an index saves too little"
assert (rows.afterMs < rows.beforeMs).all(), "an operation is slower with its index"
Markdown(f"**Answer.** {answer}")
