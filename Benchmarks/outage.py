"""The spool: how fast it takes events, and an outage of PostgreSQL with clients that go on sending."""

import threading
import time
from urllib.parse import urlsplit

import events
import load
from openloop import quantile
from processes import BenchmarkError
from report import progress

RATE = 5_000
BATCH = 50
SENDERS = 16
QUIET_SECONDS = 10


def p4(scenarios):
    """S3 answered from the spool, then the time until all of it is in the database."""
    settings = scenarios.settings
    with scenarios.measured("P4") as service:
        seconds, answer = load.stream_file(service.url, scenarios.body, "?ack=spooled", 202)
        scenarios.figures.add("P4 events/s", settings.events / seconds)
        if answer["stored"] != settings.events:
            scenarios.wrong.append(f"P4: {answer['stored']} of {settings.events} taken: {answer}")
        began = time.monotonic()
        _drained(service, 600)
        scenarios.figures.add("P4 drained events/s", settings.events / (time.monotonic() - began))
    scenarios.check("P4", answer["stored"])


class Sender(threading.Thread):
    """Sends arrays at moments of its own, each when it is due or as soon as the one before has its answer."""

    def __init__(self, url, number, ends):
        super().__init__(daemon=True)
        self.parts, self.number, self.ends = urlsplit(f"{url}/v1/events"), number, ends
        # (when it was due, milliseconds until its answer, status, what is said of durability)
        self.answers = []
        self.stored = 0

    def run(self):
        source, step = events.stream(), SENDERS * BATCH / RATE
        connection = load.connections(self.parts.geturl(), 1)[0]
        due = time.perf_counter() + step * self.number / SENDERS
        while not self.ends.is_set():
            body = "[" + ",".join(next(source) for _ in range(BATCH)) + "]"
            time.sleep(max(0.0, due - time.perf_counter()))
            try:
                connection.sendall(load.request(self.parts, body.encode(), "POST"))
                status, answer, closes = load.read_answer(connection)
            except (OSError, BenchmarkError):
                status, answer, closes = 0, b"", True
            took = (time.perf_counter() - due) * 1000
            spooled = b'"spooled"' in answer
            self.answers.append((due, took, status, spooled))
            if status in (200, 202):
                self.stored += BATCH
            if closes:
                connection = load.connections(self.parts.geturl(), 1)[0]
            due += step


def r2(scenarios):
    """PostgreSQL goes, stays away and comes back, at a steady rate of events."""
    figures, cluster = scenarios.figures, scenarios.cluster
    outage = scenarios.settings.outage_seconds
    with scenarios.measured("R2") as service:
        ends = threading.Event()
        senders = [Sender(service.url, number, ends) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        time.sleep(QUIET_SECONDS)
        gone = time.perf_counter()
        cluster.halt()
        progress(f"  PostgreSQL is away for {outage} s")
        time.sleep(outage)
        cluster.resume()
        back = time.perf_counter()
        spooled = load.stats(service.url)["totals"]["spooled"]
        _drained(service, 600)
        drained = time.perf_counter()
        time.sleep(QUIET_SECONDS)
        ends.set()
        for sender in senders:
            sender.join(30)
    answers = sorted(answer for sender in senders for answer in sender.answers)
    refused = [answer for answer in answers if answer[2] not in (200, 202)]
    figures.add("R2 refused", len(refused))
    figures.add("R2 spooled", spooled)
    figures.add("R2 drained events/s", spooled / (drained - back))
    for name, begin, end in (("before", 0, gone), ("away", gone, back), ("draining", back, drained)):
        figures.add(f"R2 p99 {name} ms", quantile(sorted(a[1] for a in answers if begin <= a[0] < end), 0.99))
    if refused:
        scenarios.wrong.append(f"R2: {len(refused)} requests refused, the first with status {refused[0][2]}")
    scenarios.check("R2", sum(sender.stored for sender in senders))


def _drained(service, seconds):
    """Waits until the spool holds nothing."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if load.stats(service.url)["totals"]["spooled"] == 0:
                return
        except (BenchmarkError, OSError):
            # Statistics come from the database, which may not be back yet.
            pass
        time.sleep(0.05)
    raise BenchmarkError("the spool was not drained")


def rows(lines):
    """The lines of the table."""
    lines.row("P4", "S3 with `ack=spooled`, fsynced, events/s", "P4 events/s")
    lines.row("", "draining it, nothing else to do, events/s", "P4 drained events/s")
    lines.row("R2", f"PostgreSQL away at {RATE:,} events/s: requests refused", "R2 refused", target="0")
    lines.row("", "events in the spool when it is back", "R2 spooled")
    lines.row("R2", "drained while as many come in, events/s", "R2 drained events/s", target=f"≥ {2 * RATE:,}")
    lines.row("", "p99 of the clients before, ms", "R2 p99 before ms")
    lines.row("", "p99 while it is away, ms", "R2 p99 away ms")
    lines.row("R2", "p99 while the spool is drained, ms", "R2 p99 draining ms", "before", "R2 p99 before ms",
              "unharmed")
