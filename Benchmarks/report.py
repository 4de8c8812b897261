"""What is printed: figures gathered over the repeats, a Markdown table, the machine and the commands."""

import os
import platform
import statistics
import subprocess
import sys

from processes import program


def progress(text):
    print(text, file=sys.stderr, flush=True)


class Figures:
    """The values of one measure, one a repeat."""

    def __init__(self):
        self.values = {}

    def add(self, name, value):
        self.values.setdefault(name, []).append(value)
        progress(f"  {name}: {number(value)}")

    def __contains__(self, name):
        return name in self.values

    def median(self, name):
        return statistics.median(self.values[name])

    def spread(self, name):
        values = self.values[name]
        return f"{number(min(values))} … {number(max(values))}"


def number(value):
    """Three significant digits or all of the integer part, thousands separated."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Table:
    HEAD = ["#", "what", "Millrace", "spread", "reference", "reference's", "its spread", "ratio", "target"]

    def __init__(self, figures):
        self.figures = figures
        self.rows = []

    def row(self, mark, what, ours, reference=None, theirs=None, target=""):
        """One line: the figure `ours`, compared with the figure `theirs` where there is one."""
        if ours not in self.figures:
            return
        figures = self.figures
        cells = [mark, what, number(figures.median(ours)), figures.spread(ours)]
        if theirs and theirs in figures:
            ratio = figures.median(ours) / figures.median(theirs)
            cells += [reference, number(figures.median(theirs)), figures.spread(theirs), f"{ratio:.2f}"]
        else:
            cells += ["", "", "", ""]
        self.rows.append(cells + [target])

    def text(self):
        lines = [self.HEAD, ["---"] * len(self.HEAD), *self.rows]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _first_line(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    text = (done.stdout + done.stderr).strip()
    return text.splitlines()[0] if text else "unknown"


def _cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def machine(binary, postgres_version):
    """Where the figures come from, as a Markdown list."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    facts = {
        "machine": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB",
        "kernel": platform.release(),
        "millrace": _first_line(binary, "--version"),
        "compiler": _first_line("swift", "--version"),
        "PostgreSQL": postgres_version,
        "nginx": _first_line(program("nginx"), "-v").removeprefix("nginx version: "),
        "wrk": _first_line(program("wrk"), "-v").partition(" Copyright")[0],
        "Python": platform.python_version(),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())
