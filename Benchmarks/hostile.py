"""R7: clients that no service wants, and what the others notice of them."""

import os
import signal
import subprocess
import sys
import time

import load
from processes import BenchmarkError, peak_bytes, reset_peak, resident_bytes, stop
from report import progress

# Name, how many of it, what it is, options of the service.
ATTACKS = {
    "slowloris": (1_000, "1,000 heads that drip (slowloris)", []),
    "idle": (10_000, "10,000 idle connections", ["--max-connections", "12000"]),
    "pipelining": (1_000_000, "1 M requests pipelined, then answers nobody reads", []),
    "bombs": (16, "gzip bombs, 16 at once", []),
    "headers": (64, "heads of 4 GB, 64 at once", []),
    "churn": (64, "a new connection for each request", []),
    "descriptors": (2_000, "2,000 connections for 512 descriptors", []),
}
DESCRIPTORS = 512
# Single events a second of the good clients, on connections that they keep.
RATE, CONNECTIONS = 200, 16


class Attack:
    """An attacking process, from the moment on when its attack is on."""

    def __init__(self, name, url, seconds, count):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "attacks.py")
        self.process = subprocess.Popen(
            [sys.executable, script, name, url, str(seconds), str(count)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            # Attackers have processors of their own; here they get what service and good clients leave.
            preexec_fn=lambda: os.nice(19))

    def __enter__(self):
        if self.process.stdout.readline() != "ready\n":
            stop(self.process)
            raise BenchmarkError("the attack did not begin")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        progress(f"  attack: {self.process.stdout.read().strip()}")
        stop(self.process)
        self.process.stdout.close()


def r7(scenarios):
    for name in scenarios.settings.attacks:
        _measure(scenarios, name)


def _measure(scenarios, name):
    count, _, options = ATTACKS[name]
    figures, seconds = scenarios.figures, scenarios.settings.seconds
    limit = DESCRIPTORS if name == "descriptors" else None
    with scenarios.measured(f"R7 {name}", options=options, descriptors=limit) as service:
        # Good clients stay connected: what they notice is the service's doing.
        clients = load.connections(service.url, CONNECTIONS)
        load.paced(service.url, RATE, 1, clients)
        quiet = _good(scenarios, name, service, clients)
        figures.add(f"R7 {name} quiet MB", resident_bytes(service.pid) / 1e6)
        reset_peak(service.pid)
        with Attack(name, service.url, seconds + 60, count):
            figures.add(f"R7 {name} p99", _good(scenarios, name, service, clients))
        figures.add(f"R7 {name} peak MB", peak_bytes(service.pid) / 1e6)
        figures.add(f"R7 {name} recovery s", _recovery(service))
        # The reference is of the same minute: the mean of before and after.
        figures.add(f"R7 {name} quiet p99", (quiet + _good(scenarios, name, service, clients)) / 2)
        figures.add(f"R7 {name} after MB", resident_bytes(service.pid) / 1e6)


def _good(scenarios, name, service, clients):
    """p99 of good clients in milliseconds; an error of theirs is one of the run."""
    done = load.paced(service.url, RATE, scenarios.settings.seconds, clients)
    if done.errors:
        scenarios.wrong.append(f"R7 {name}: {done.errors} errors of good clients")
    return done.quantile(0.99)


def _recovery(service):
    """Seconds until a client that comes anew is answered."""
    began = time.monotonic()
    while time.monotonic() < began + 30:
        try:
            load.get(f"{service.url}/healthz")
            return time.monotonic() - began
        except (OSError, BenchmarkError):
            time.sleep(0.01)
    raise BenchmarkError("the service answers nobody any more")


def rows(lines):
    """The lines of the table."""
    for name, (_, what, _) in ATTACKS.items():
        lines.row("R7", f"{what}: p99 of good clients, ms", f"R7 {name} p99",
                  "the same without", f"R7 {name} quiet p99", "≤ 2 ×")
        lines.row("", "most memory meanwhile, MB", f"R7 {name} peak MB", "before", f"R7 {name} quiet MB", "bounded")
        lines.row("", "seconds until a new client is answered", f"R7 {name} recovery s")
