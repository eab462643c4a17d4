"""Figures of several rounds, and the document that they are written into."""

import os
import platform
import statistics


class Results:
    """Values by row and column, one of each round."""

    def __init__(self):
        self.rows, self.settings = {}, {}

    def add(self, row, column, value, share=None):
        self.rows.setdefault(row, {}).setdefault(column, []).append((value, share))

    def median(self, row, column):
        values = self.rows.get(row, {}).get(column, [])
        return statistics.median(value for value, _ in values) if values else None

    def share(self, row, column):
        shares = [share for _, share in self.rows.get(row, {}).get(column, []) if share is not None]
        return statistics.median(shares) if shares else None


class Machine:
    """What it is, and whether others were at work before the measurement began."""

    def __init__(self):
        self.load_before = os.getloadavg()[0]

    def __str__(self):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"

    def disturbed(self):
        busy = self.load_before / os.cpu_count()
        return f", which had other work (load {self.load_before:.1f} before the run)" if busy > 0.25 else ""


def number(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def write(path, name, table):
    """Puts the table between the marks of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, rest = path.read_text().split(begin, 1)
    _, tail = rest.split(end, 1)
    path.write_text(f"{head}{begin}\n{table}\n{end}{tail}")
