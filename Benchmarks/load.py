"""The load: wrk for closed loops, curl for one long body, a paced client for a fixed rate."""

import json
import os
import select
import socket
import subprocess
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import events
from processes import BenchmarkError, pin, program

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrk")


@dataclass
class Load:
    """What a closed loop has done: requests made, answers with a 2xx or 3xx status, others, failures."""

    seconds: float
    sent: int
    answered: int
    refused: int
    broken: int
    p50: float
    p99: float
    slowest: float

    @property
    def rate(self):
        return self.answered / self.seconds

    @property
    def errors(self):
        return self.refused + self.broken


def wrk(script, url, connections, seconds, core=None, **settings):
    """Runs a script of wrk/ with one thread; `settings` become its environment."""
    done = subprocess.run(
        [program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency",
         "-s", os.path.join(SCRIPTS, script), url],
        env=dict(os.environ, BENCH_LUA=SCRIPTS, **{name: str(value) for name, value in settings.items()}),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, preexec_fn=pin(core))
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            microseconds, sent, answered, refused, broken, p50, p99, slowest = line.split()[1:]
            return Load(int(microseconds) / 1e6, int(sent), int(answered), int(refused), int(broken),
                        float(p50), float(p99), float(slowest))
    raise BenchmarkError(f"wrk {script}: {done.stdout}{done.stderr}")


def stream_file(url, path, query="", expected=200):
    """Sends a file as one NDJSON body, chunked; returns the seconds and the answer."""
    started = time.monotonic()
    with open(path, "rb") as file:
        done = subprocess.run(
            [program("curl"), "-sS", "--max-time", "600", "-X", "POST", "-T", "-", "-w", "\n%{http_code}",
             "-H", "Content-Type: application/x-ndjson", f"{url}/v1/events{query}"],
            stdin=file, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    body, _, status = done.stdout.rpartition("\n")
    if done.returncode != 0 or status != str(expected):
        raise BenchmarkError(f"S3: status {status}, curl {done.returncode}: {done.stderr}{body[:500]}")
    return seconds, json.loads(body)


def post(url, body):
    """One request, one answer: the answer's bytes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        connection.sendall(request(parts, body, "POST"))
        status, answer, _ = read_answer(connection)
    if status != 200:
        raise BenchmarkError(f"POST {url}: status {status}: {answer[:500]}")
    return answer


def stats(url):
    """What `GET /v1/stats` says."""
    return json.loads(get(f"{url}/v1/stats"))


def get(url):
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        connection.sendall(request(parts, b"", "GET"))
        status, answer, _ = read_answer(connection)
    if status != 200:
        raise BenchmarkError(f"GET {url}: status {status}: {answer[:500]}")
    return answer


@dataclass
class Paced:
    """What a fixed rate has met, in milliseconds from the moment when each request was due."""

    latencies: list
    answered: int
    errors: int

    def quantile(self, share):
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def connections(url, count):
    """Connections of clients that stay."""
    parts, made = urlsplit(url), []
    for _ in range(count):
        connection = socket.create_connection((parts.hostname, parts.port), 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.append(connection)
    return made


def paced(url, rate, seconds, clients=64):
    """Sends single events at a fixed rate, whether or not the earlier ones have been answered.

    One thread with select(2), which wakes within some 50 µs of the due time (epoll counts milliseconds).
    A request that finds no idle connection waits for one, and its latency counts from when it was due.
    `clients` are connections, which stay open, or their number.
    """
    parts = urlsplit(f"{url}/v1/events")
    idle = connections(url, clients) if isinstance(clients, int) else list(clients)
    everything, busy, waiting = list(idle), {}, []
    result, source = Paced([], 0, 0), events.stream()
    total, sent, started = rate * seconds, 0, time.perf_counter() + 0.1
    give_up = started + seconds + 10
    try:
        while (sent < total or waiting or busy) and time.perf_counter() < give_up:
            now = time.perf_counter()
            while sent < total and started + sent / rate <= now:
                waiting.append(started + sent / rate)
                sent += 1
            while waiting and idle:
                # The one that has been idle longest, so that all of them are in use as with wrk.
                connection = idle.pop(0)
                connection.sendall(request(parts, next(source).encode(), "POST"))
                busy[connection] = waiting.pop(0)
            due = started + sent / rate if sent < total else give_up
            for connection in select.select(list(busy), [], [], max(0, due - time.perf_counter()))[0]:
                status, _, _ = read_answer(connection)
                result.latencies.append((time.perf_counter() - busy.pop(connection)) * 1000)
                result.answered += status == 200
                result.errors += status != 200
                idle.append(connection)
    finally:
        for connection in everything if isinstance(clients, int) else []:
            connection.close()
    result.errors += len(busy) + len(waiting)
    return result


def request(parts, body, method):
    """The bytes of one request."""
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    head = f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
    if method == "POST":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def read_answer(connection):
    """(status, body, whether it was the last) of an answer that has a Content-Length."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _receive(connection)
    head = received[:end].split(b"\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head[1:])
    length = int(fields[b"content-length"])
    body = received[end + 4:]
    while len(body) < length:
        body += _receive(connection)
    return int(head[0].split()[1]), body, fields.get(b"connection", b"").strip() == b"close"


def _receive(connection):
    received = connection.recv(65536)
    if not received:
        raise BenchmarkError("the service closed a connection in the middle of an answer")
    return received
