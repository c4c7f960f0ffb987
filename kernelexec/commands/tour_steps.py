"""What the tour runs: with pandas and matplotlib, or with what every Python has.

The dataset is Palmer Penguins (https://allisonhorst.github.io/palmerpenguins/, CC0), from the PyPI package
palmerpenguins; `penguins.csv` beside this module is a copy of its table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).with_name("penguins.csv")
NEEDED = ("pandas", "matplotlib", "palmerpenguins")


@dataclass(frozen=True)
class Step:
    label: str
    note: str
    code: str


_HEADING = "## Palmer Penguins\nMeasurements of 344 penguins (Gorman, Williams and Fraser 2014; CC0)."
CHECK = Step(
    "check",
    "",
    f"""
    import importlib.util

    needed = {NEEDED}
    [name for name in needed if importlib.util.find_spec(name) is None] or "nothing is missing"
    """,
)
STEPS = (
    Step(
        "load",
        _HEADING,
        """
        import matplotlib.pyplot as plt
        import pandas as pd
        from palmerpenguins import load_penguins

        penguins = load_penguins()
        print(penguins.shape[0], "penguins,", penguins.shape[1], "columns")
        penguins.head()
        """,
    ),
    Step(
        "clean",
        "Rows without a measurement do not help; how many are there?",
        """
        measured = penguins.dropna(subset=["bill_length_mm", "flipper_length_mm", "body_mass_g"])
        print(len(penguins) - len(measured), "rows left out")
        measured.groupby("species")[["bill_length_mm", "flipper_length_mm", "body_mass_g"]].mean().round(1)
        """,
    ),
    Step(
        "plot",
        "Heavier penguins have longer flippers, in each species.",
        """
        figure, axes = plt.subplots(figsize=(6, 4))
        for species, group in measured.groupby("species"):
            axes.scatter(group.flipper_length_mm, group.body_mass_g, s=12, label=species)
        axes.set(xlabel="flipper length (mm)", ylabel="body mass (g)")
        axes.legend()
        plt.show()
        """,
    ),
    Step(
        "mistake",
        "A mistake is an error in the reply, and the variables stay.",
        "measured_penguins.describe()",
    ),
)
AFTER = Step(
    "reuse",
    "Another client, the same variables: the server process above is gone, the kernel is not.",
    'measured[["flipper_length_mm", "body_mass_g"]].corr().round(3)',
)
PLAIN_STEPS = (
    Step(
        "load",
        _HEADING,
        f"""
        import csv
        from pathlib import Path

        penguins = list(csv.DictReader(Path({str(DATA)!r}).open()))
        print(len(penguins), "penguins,", len(penguins[0]), "columns")
        penguins[0]
        """,
    ),
    Step(
        "clean",
        "Rows without a measurement do not help; how many are there?",
        """
        from statistics import mean

        measured = [p for p in penguins if p["flipper_length_mm"].isdigit() and p["body_mass_g"].isdigit()]
        print(len(penguins) - len(measured), "rows left out")
        species = sorted({p["species"] for p in measured})
        mass = {name: [int(p["body_mass_g"]) for p in measured if p["species"] == name] for name in species}
        {name: round(mean(each)) for name, each in mass.items()}
        """,
    ),
    Step(
        "plot",
        "Heavier penguins have longer flippers, in each species.",
        """
        from IPython.display import SVG

        dots = "".join(
            f'<circle cx="{(int(p["flipper_length_mm"]) - 165) * 8}" cy="{330 - int(p["body_mass_g"]) / 20}" '
            f'r="4" fill="{["#1b9e77", "#d95f02", "#7570b3"][species.index(p["species"])]}"/>'
            for p in measured
        )
        SVG(f'<svg xmlns="http://www.w3.org/2000/svg" width="560" height="220">{dots}</svg>')
        """,
    ),
    Step("mistake", "A mistake is an error in the reply, and the variables stay.", "mean(measured_penguins)"),
)
PLAIN_AFTER = Step(
    "reuse",
    "Another client, the same variables: the server process above is gone, the kernel is not.",
    """
    heaviest = max(measured, key=lambda penguin: int(penguin["body_mass_g"]))
    heaviest["species"], heaviest["body_mass_g"]
    """,
)
