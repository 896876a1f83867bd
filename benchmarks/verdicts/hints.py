"""How many points of accuracy a temperature costs that is picked without labels, on kept records.

python benchmarks/verdicts/hints.py
"""

from pathlib import Path

from tausweep.results import hints, records

MEASURED = Path(__file__).parents[1] / "measured"


def main() -> None:
    """Print the cost of each measure's picks."""
    tables = [records.read_table(MEASURED / name / "records.csv") for name in hints.KEPT]
    print(f"{'picked by':12} {'least':>6} {'most':>6} {'mean':>6} {'random':>7}")
    for name, cost in hints.costs(tables).items():
        print(f"{name:12} {cost.least:6.2f} {cost.most:6.2f} {cost.mean:6.2f} {cost.blind:7.2f}")


if __name__ == "__main__":
    main()
