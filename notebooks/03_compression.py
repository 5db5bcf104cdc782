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
# # 3 · What does compression save, and from which bandwidth on?
#
# **Question.** How many bytes do gzip, brotli and zstandard save on the documented contents, what do they cost in CPU, and
# up to which bandwidth is that a gain?
#
# The bodies are live responses of the real service, counted on the wire.

# %% tags=["parameters"]
small = True

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown

from workloads.client.command_line import ask

run = ask("bench", "compression", *(["--quick"] if small else []))
rows = pd.DataFrame(run["rows"]).set_index("content")
rows

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
rows[["bytes", "gzipBytes", "brBytes", "zstdBytes"]].plot.bar(ax=left, rot=0)
left.set(ylabel="bytes on the wire", xlabel="")
rows[["documentedReduction", "reduction"]].plot.bar(ax=right, color=["#b9c9c6", "#0b5351"], rot=0)
right.set(ylabel="% smaller with gzip", xlabel="")
plt.show()

# %% [markdown]
# Compressing pays while sending the saved bytes would take longer than saving them: the break-even bandwidth is
# saved bits ÷ CPU seconds.

# %%
rows["breakEvenGigabits"] = (rows.bytes - rows.gzipBytes) * 8 / (rows.cpuMs / 1000) / 1e9
bandwidth = np.logspace(6, 10, 100)
fig, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for name, row in rows.iterrows():
    plain = row.bytes * 8 / bandwidth * 1e3
    axes.plot(bandwidth / 1e6, plain / (row.gzipBytes * 8 / bandwidth * 1e3 + row.cpuMs), label=name)
axes.axhline(1, color="grey", linewidth=0.8)
axes.set(xscale="log", xlabel="bandwidth, Mbit/s", ylabel="times faster with gzip")
axes.legend(frameon=False)
plt.show()

# %%
answer = "; ".join(
    f"{name}: {row.reduction:.0f} % smaller (documented {row.documentedReduction:.0f} %), worth it below "
    f"{row.breakEvenGigabits:.1f} Gbit/s"
    for name, row in rows.iterrows()
)
assert (rows.reduction >= rows.documentedReduction).all(), "a documented reduction is not reached"
assert (rows[["brBytes", "zstdBytes"]].min(axis=1) <= rows.gzipBytes).all(), "neither brotli nor zstandard beats gzip"
Markdown(f"**Answer.** {answer}.")
