"""What the service is compared with in the same run: nginx, one fdatasync, Python's own tools."""

import concurrent.futures
import json
import os
import socket
import subprocess
import time

import events
from processes import BenchmarkError, pin, program, stop

CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        default_type application/json;
        location = /get {{ return 200 '{get}'; }}
        location = /post {{ return 200 '{post}'; }}
    }}
}}
"""


class Nginx:
    """One worker that answers from its configuration, the same bytes as the service answers.

    It reads a POST's body and throws it away.
    """

    def __init__(self, folder, get, post, core=None):
        self.folder = os.path.join(folder, "nginx")
        os.makedirs(self.folder, exist_ok=True)
        self.port = _free_port()
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(
                folder=self.folder, port=self.port, get=_quoted(get), post=_quoted(post)))
        self.process = subprocess.Popen(
            [program("nginx"), "-p", self.folder, "-e", f"{self.folder}/nginx.log", "-c", path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=pin(core))

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        stop(self.process)
        with open(os.path.join(self.folder, "nginx.log"), encoding="utf-8", errors="replace") as log:
            raise BenchmarkError(f"nginx did not start: {log.read()}")

    def __exit__(self, *_):
        stop(self.process)


def _quoted(body):
    text = body.decode()
    if "$" in text:
        raise BenchmarkError(f"nginx would expand a variable in {text!r}")
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fdatasync_milliseconds(folder, count=500):
    """The median time to write 8 KB over zeros that are there already and to fdatasync it, as a WAL does."""
    block, size = os.urandom(8192), 16 << 20
    path = os.path.join(folder, "fdatasync")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, bytes(size))
        os.fsync(descriptor)
        times = []
        for number in range(count):
            started = time.perf_counter()
            os.pwrite(descriptor, block, number * len(block) % size)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
        os.unlink(path)
    return sorted(times)[count // 2] * 1000


def json_loads_gigabytes_per_second(seconds=1.0):
    """What Python's json.loads does with the same events, on one core."""
    source = events.stream()
    texts = [next(source) for _ in range(1000)]
    size, done, started = sum(map(len, texts)), 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds:
        for text in texts:
            json.loads(text)
        done += size
    return done / taken / 1e9


def _echo(frame):
    return frame


def process_pool_round_trips(count=3000):
    """Round trips a second of ProcessPoolExecutor: 1 KB, one worker, one in flight."""
    frame = bytes(1024)
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        pool.submit(_echo, frame).result()
        started = time.perf_counter()
        for _ in range(count):
            pool.submit(_echo, frame).result()
        return count / (time.perf_counter() - started)
