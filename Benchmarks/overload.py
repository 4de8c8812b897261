"""R9: three times what the service can do. R10: a SIGTERM in the middle of it."""

import json
import signal
import socket
import threading
import time
import uuid
from urllib.parse import urlsplit

import events
import load
from openloop import Load, quantile
from processes import BenchmarkError, peak_bytes, reset_peak, resident_bytes

BATCH = 100
CLOSED = 16


def _array():
    """100 events without ids: the service makes them, so that the same bytes are new events each time."""
    source = events.stream()
    texts = []
    for _ in range(BATCH):
        event = json.loads(next(source))
        del event["id"]
        texts.append(json.dumps(event, separators=(",", ":")))
    return f'[{",".join(texts)}]'.encode()


def r9(scenarios):
    """Capacity by clients that wait for their answers; then three times as much by clients that do not wait."""
    figures, settings = scenarios.figures, scenarios.settings
    body = _array()
    with scenarios.measured("R9 capacity") as service:
        closed = Load(service.url, body).closed(CLOSED, settings.seconds)
    capacity = closed.count(200) / closed.seconds
    figures.add("R9 capacity", capacity * BATCH)
    with scenarios.measured("R9") as service:
        figures.add("R9 quiet MB", resident_bytes(service.pid) / 1e6)
        reset_peak(service.pid)
        done = Load(service.url, body).offered(3 * capacity, settings.overload_seconds)
        figures.add("R9 peak MB", peak_bytes(service.pid) / 1e6)
        figures.add("R9 recovery ms", _answered(service, body))
        scenarios.cpu("R9", service, done.count(200) * BATCH)
    refused = done.refused
    figures.add("R9 goodput", done.count(200) / done.seconds * BATCH)
    figures.add("R9 p50 ms", done.quantile(200, 0.5))
    figures.add("R9 p99 ms", done.quantile(200, 0.99))
    figures.add("R9 refused", len(refused) / done.seconds * BATCH)
    if refused:
        figures.add("R9 refusal p50 ms", quantile(refused, 0.5))
        figures.add("R9 refusal p99 ms", quantile(refused, 0.99))
        figures.add("R9 refusal slowest ms", refused[-1])
    for status in done.latencies:
        if status not in (200, 503):
            scenarios.wrong.append(f"R9: {done.count(status)} answers {status}")
    for what, number in (("503 without Retry-After", done.without_retry_after),
                         ("connections without an answer", done.broken)):
        if number:
            scenarios.wrong.append(f"R9: {number} {what}")
    if done.not_offered:
        scenarios.wrong.append(f"R9: {done.not_offered} requests could not be offered")
    stored = (done.count(200) + 1) * BATCH
    scenarios.check("R9", stored, in_flight=8_000 * BATCH)


def _answered(service, body):
    """Milliseconds until a client that is refused and asks again has stored its events."""
    started = time.perf_counter()
    while time.perf_counter() < started + 30:
        try:
            load.post(f"{service.url}/v1/events", body)
            return (time.perf_counter() - started) * 1000
        except BenchmarkError:
            time.sleep(0.01)
    raise BenchmarkError("R9: the service does not recover")


class Sender(threading.Thread):
    """A client that sends events one by one, each with its own id, until its connection ends."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.parts = urlsplit(f"{url}/v1/events")
        self.acknowledged, self.refused, self.unanswered = [], 0, []

    def run(self):
        source = events.stream()
        with socket.create_connection((self.parts.hostname, self.parts.port), 10) as connection:
            while True:
                text = next(source)
                identity = text[7:43]
                try:
                    connection.sendall(load.request(self.parts, text.encode(), "POST"))
                    status, _, closes = load.read_answer(connection)
                except (OSError, BenchmarkError):
                    self.unanswered.append(identity)
                    return
                if status == 200:
                    self.acknowledged.append(identity)
                else:
                    self.refused += 1
                if closes:
                    return


class Streamer(threading.Thread):
    """A client that has begun a long body before the signal and ends it well after."""

    def __init__(self, url, seconds):
        super().__init__(daemon=True)
        self.parts, self.seconds = urlsplit(f"{url}/v1/events"), seconds
        self.sent, self.acknowledged, self.refused, self.unanswered = 0, [], 0, []

    def run(self):
        source, end, identities = events.stream(), time.monotonic() + self.seconds, []
        with socket.create_connection((self.parts.hostname, self.parts.port), 10) as connection:
            connection.sendall(
                f"POST {self.parts.path} HTTP/1.1\r\nHost: {self.parts.netloc}\r\n"
                "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            while time.monotonic() < end:
                texts = [next(source) for _ in range(20)]
                identities += [text[7:43] for text in texts]
                lines = ("\n".join(texts) + "\n").encode()
                connection.sendall(b"%x\r\n%s\r\n" % (len(lines), lines))
                time.sleep(0.02)
            connection.sendall(b"0\r\n\r\n")
            try:
                status, _, _ = load.read_answer(connection)
            except (OSError, BenchmarkError):
                self.unanswered = identities
                return
        if status == 200:
            self.acknowledged = identities
        else:
            self.refused += 1


def r10(scenarios):
    """SIGTERM while 32 clients send events and 4 stream: who is answered, and what is stored."""
    figures, settings = scenarios.figures, scenarios.settings
    with scenarios.measured("R10") as service:
        clients = [Sender(service.url) for _ in range(32)] + [Streamer(service.url, 4) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(2)
        began = time.perf_counter()
        service.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(60)
        status = service.process.wait(60)
        figures.add("R10 seconds", time.perf_counter() - began)
    acknowledged = {identity for client in clients for identity in client.acknowledged}
    unanswered = {identity for client in clients for identity in client.unanswered}
    stored = set(scenarios.cluster.sql("run", "SELECT id FROM events").split())
    figures.add("R10 acknowledged", len(acknowledged))
    figures.add("R10 never begun", len(unanswered - stored))
    figures.add("R10 refused", sum(client.refused for client in clients))
    figures.add("R10 begun and unanswered", len(unanswered & stored))
    for what, number in (("acknowledged events MISSING", len(acknowledged - stored)),
                         ("events stored and not answered for", len(unanswered & stored)),
                         ("exit status", status)):
        if number:
            scenarios.wrong.append(f"R10: {number} {what}")


def rows(lines):
    """The lines of the table."""
    lines.row("R9", "three times the capacity, open loop: events/s stored", "R9 goodput",
              "capacity, closed loop", "R9 capacity", "≥ 0.9 ×")
    lines.row("", "events/s refused (503, Retry-After)", "R9 refused")
    lines.row("R9", "until a refusal, p99, ms", "R9 refusal p99 ms", target="≤ 50 ms")
    lines.row("", "until a refusal, the slowest, ms", "R9 refusal slowest ms")
    lines.row("", "until the answer of what is stored, p50, ms", "R9 p50 ms")
    lines.row("", "until the answer of what is stored, p99, ms", "R9 p99 ms")
    lines.row("R9", "most memory meanwhile, MB", "R9 peak MB", "before", "R9 quiet MB", "bounded")
    lines.row("", "afterwards, until a new client has stored events, ms", "R9 recovery ms")
    lines.row("R10", "SIGTERM under load: requests begun and not answered", "R10 begun and unanswered", target="0")
    lines.row("R10", "seconds from the signal to exit status 0, with bodies that end 2 s after it", "R10 seconds",
              target="≤ 30 s")
    lines.row("", "events acknowledged, all in the database", "R10 acknowledged")
    lines.row("", "requests that came too late and were never begun", "R10 never begun")
