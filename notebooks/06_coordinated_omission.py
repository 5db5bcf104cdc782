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
# # 6 · Why does the closed loop's p95 lie?
#
# **Question.** A server answers in a few milliseconds and stalls once, for two seconds. What do a closed-loop tool and an
# open-loop generator report about the same server?
#
# Locust's users wait for their answer before they ask again, so during the stall hardly anything is sent, and what was
# not sent is not counted: *coordinated omission*. The open loop sends at the intended moments and times each request from
# then.

# %% tags=["parameters"]
small = True

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from workloads.client.command_line import ask
from workloads.results.reader import load_requests

folder = Path(tempfile.mkdtemp())
seconds = ["--seconds", "6", "--stall-begins", "2"] if small else []
found = ask("stalled", *seconds, "--to", str(folder))
closed, opened = load_requests(folder / "locust.parquet"), load_requests(folder / "open_loop.parquet")
pd.DataFrame(
    {
        name: {key: found[name][key] for key in ("requests", "p50Ms", "p95Ms", "p99Ms")}
        for name in ("locust", "openLoop")
    }
)

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
for axes, rows, title in ((left, closed, "closed loop (locust)"), (right, opened, "open loop")):
    axes.scatter(rows.intended - rows.intended.min(), rows.done * 1e3 - rows.intended * 1e3, s=6, color="#0b5351")
    axes.set(title=title, xlabel="seconds into the run", ylabel="latency, ms")
plt.show()

# %%
locust, honest = found["locust"], found["openLoop"]
answer = (
    f"Locust sent {locust['requests']:,} of {found['intendedRequests']:,} intended requests and reports a p95 of "
    f"{locust['p95Ms']:,.0f} ms; timed from the intended start the same server's p95 is **{honest['p95Ms']:,.0f} ms**."
)
assert honest["requests"] == found["intendedRequests"], "the open loop must send what was intended"
assert locust["requests"] < found["intendedRequests"], "the closed loop must have omitted requests"
assert honest["p95Ms"] > 5 * locust["p95Ms"], "the difference is not reproduced"
Markdown(f"**Answer.** {answer}")
