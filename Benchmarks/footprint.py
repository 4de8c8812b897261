"""P10: memory. P11: from the start of the process to the first event that is stored."""

import os
import socket
import tempfile
import time
from urllib.parse import urlsplit

import events
import hostile
import load
from processes import BenchmarkError, children, peak_bytes, reset_peak, resident_bytes
from report import progress
from service import Service

IDLE = 9_990


def p10(scenarios):
    """Memory at the start, with 10,000 idle connections, and while a long body streams in."""
    figures = scenarios.figures
    with scenarios.measured("P10") as service:
        load.get(f"{service.url}/healthz")
        time.sleep(1)
        start = resident_bytes(service.pid)
        figures.add("P10 start MB", start / 1e6)
        workers = sum(resident_bytes(pid) for pid in children(service.pid))
        figures.add("P10 start with workers MB", (start + workers) / 1e6)
        with hostile.Attack("idle", service.url, 60, IDLE):
            time.sleep(1)
            held = resident_bytes(service.pid)
        figures.add("P10 connection KB", (held - start) / IDLE / 1e3)
        figures.add("P10 10,000 MB", held / 1e6)
    with scenarios.measured("P10 S3") as service:
        _stream(scenarios, service)
    scenarios.check("P10", scenarios.acknowledged)


def _stream(scenarios, service):
    """One body of so many bytes; its memory must not grow from its first fifth on."""
    total, sent, early = scenarios.settings.stream_megabytes * 10**6, 0, None
    parts, source, count = urlsplit(f"{service.url}/v1/events"), events.stream(), 0
    with socket.create_connection((parts.hostname, parts.port), 60) as connection:
        connection.sendall(
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/x-ndjson\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode())
        while sent < total:
            lines = ("\n".join(next(source) for _ in range(500)) + "\n").encode()
            connection.sendall(b"%x\r\n%s\r\n" % (len(lines), lines))
            sent += len(lines)
            count += 500
            if early is None and sent >= total / 5:
                early = peak_bytes(service.pid)
                reset_peak(service.pid)
        connection.sendall(b"0\r\n\r\n")
        connection.settimeout(120)
        status, answer, _ = load.read_answer(connection)
    if status != 200:
        raise BenchmarkError(f"P10: status {status}: {answer[:500]}")
    scenarios.acknowledged = count
    scenarios.figures.add("P10 S3 early MB", early / 1e6)
    scenarios.figures.add("P10 S3 peak MB", peak_bytes(service.pid) / 1e6)


def p11(scenarios):
    """Each start is of a process of its own; the database is there, and for the embedded one its folder."""
    progress("P11")
    settings = scenarios.settings
    scenarios.cluster.fresh("run", "migrated")
    with tempfile.TemporaryDirectory(dir=scenarios.folder) as folder:
        _start(scenarios, "external", scenarios.cluster.uri("run"), folder)
    with tempfile.TemporaryDirectory(dir=scenarios.folder) as folder:
        os.chmod(folder, 0o711)
        with Service(settings.binary, None, folder):
            pass
        _start(scenarios, "embedded", None, folder)


def _start(scenarios, name, uri, folder):
    with Service(scenarios.settings.binary, uri, folder) as service:
        listening = time.perf_counter()
        load.post(f"{service.url}/v1/events", b'{"type":"started"}')
        stored = time.perf_counter()
    scenarios.figures.add(f"P11 {name} listening ms", (listening - service.started) * 1000)
    scenarios.figures.add(f"P11 {name} ms", (stored - service.started) * 1000)


def rows(lines):
    """The lines of the table."""
    lines.row("P10", "memory at the start, MB", "P10 start MB", target="≤ 25")
    lines.row("", "the same with the worker process, MB", "P10 start with workers MB")
    lines.row("P10", "an idle connection that has made a request, KB", "P10 connection KB", target="≤ 3")
    lines.row("P10", f"with {IDLE:,} of them, MB", "P10 10,000 MB", target="≤ 60")
    lines.row("P10", "S3 streamed: the most after the first fifth, MB", "P10 S3 peak MB",
              "in the first fifth", "P10 S3 early MB", "flat")
    lines.row("P11", "start to the first event stored, external database, ms", "P11 external ms", target="≤ 150")
    lines.row("", "start to listening, ms", "P11 external listening ms")
    lines.row("P11", "the same, embedded database that exists, ms", "P11 embedded ms", target="≤ 1,000")
    lines.row("", "start to listening, ms", "P11 embedded listening ms")
