"""Say in plain words how many modes the data holds and how sure that is."""

from __future__ import annotations

from typing import Final

from innercouncil.discovery.cluster import DOUBTFUL, STABLE, Modes

MIN_GAIN: Final = 0.03
"""Separation beyond the one-mode null under which clusters are no more than cuts through one cloud."""


def verdict_of(modes: Modes, requested: int | None) -> str:
    """One or two sentences for the report and the terminal."""
    best = next(c for c in modes.candidates if c.k == modes.chosen)
    stable = sum(s >= STABLE for s in modes.stability)
    shaky = sum(s < DOUBTFUL for s in modes.stability)
    gain = best.separation - best.separation_null
    k = modes.chosen
    if k == 1 or gain < MIN_GAIN:
        return (
            f"No separate modes: {'there is too little text to tell modes apart' if k == 1 else 'the clusters are not set apart more than chance would'}. "
            "Take the personas below as a description of one way of thinking, cut into pieces."
        )
    if not any(modes.stability):
        return (
            "No separate modes: the groups have no more to do with your messages than groups drawn by lot. "
            "Do not rely on them; find modes offline, or ask another model."
        )
    if requested and shaky:
        return (
            f"You asked for {requested}, but only {k - shaky} of them come back when conversations are resampled; "
            f"the data holds fewer modes than asked."
        )
    sure = (
        f"all {k} come back reliably"
        if stable == k
        else f"{stable} of them come back reliably when conversations are resampled"
    )
    few = " That is fewer than the three to six most people show." if k < 3 else ""
    return f"{k} modes found: {sure} (stability {min(modes.stability):.2f} to {max(modes.stability):.2f}).{few}"
