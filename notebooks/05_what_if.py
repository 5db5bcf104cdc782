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
# # 5 · How long should a hold last?
#
# **Question.** What do the hold's length, the time people take to pay and the sweep interval do to lost sales and to
# stock that looks sold out but is not?
#
# The real use cases run in virtual time, seeded; the same seeds serve every value, so a difference between two values is
# theirs and not the luck of other customers. Intervals are 95 % over the seeds.

# %% tags=["parameters"]
small = True

# %%
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from workloads.simulation.scenarios import Drop
from workloads.simulation.studies import study

values = {
    "hold_length": (300, 900) if small else (300, 600, 900, 1800),
    "time_to_pay": (10, 120) if small else (10, 25, 120, 600),
    "sweep_interval": (60, 300) if small else (30, 60, 300, 900),
}
drop = Drop(buyers=60, hours=1.0, skus=2, units=15) if small else Drop()
seeds = 3 if small else 12
frames = {
    name: study(name, chosen, seeds=seeds, drop=drop, processes=1 if small else 2) for name, chosen in values.items()
}
pd.concat(frames.values()).query("metric == 'lost_sales'")[["parameter", "value", "mean", "low", "high"]]

# %%
fig, rows = plt.subplots(2, 3, figsize=(12, 6), layout="constrained", sharex="col")
for column, (name, frame) in enumerate(frames.items()):
    for row, metric in enumerate(("lost_sales", "phantom_minutes")):
        found = frame[frame.metric == metric]
        axes = rows[row][column]
        axes.errorbar(
            found.value,
            found["mean"],
            yerr=[found["mean"] - found.low, found.high - found["mean"]],
            marker="o",
            color="#0b5351",
        )
        axes.set(
            title=name.replace("_", " ") if row == 0 else "",
            ylabel=metric.replace("_", " "),
            xlabel="seconds" if row else "",
        )
plt.show()


# %%
def at(name, value, metric):
    frame = frames[name]
    return frame[(frame.metric == metric) & (frame.value == value)].iloc[0]


short, long = at("hold_length", 300, "phantom_minutes"), at("hold_length", 900, "phantom_minutes")
lost_short, lost_long = at("hold_length", 300, "lost_sales"), at("hold_length", 900, "lost_sales")
answer = (
    f"A 15-minute hold makes stock look sold out for {long['mean']:.0f} SKU-minutes a run where a 5-minute hold does for "
    f"{short['mean']:.0f}, and loses {lost_long['mean']:.1f} sales instead of {lost_short['mean']:.1f} "
    f"({lost_long.low:.1f} to {lost_long.high:.1f} against {lost_short.low:.1f} to {lost_short.high:.1f})."
)
assert long["mean"] >= short["mean"], "longer holds should not free stock earlier"
Markdown(f"**Answer.** {answer}")
