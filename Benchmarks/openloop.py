"""Many connections by one thread: requests when they are due, whatever is still unanswered, and what became of each.

The request's bytes are the same every time, so that sending costs next to nothing beside what it costs the service.
"""

import collections
import select
import socket
import time
from urllib.parse import urlsplit


class Outcome:
    """Answers of one run, by their status."""

    def __init__(self):
        self.latencies = collections.defaultdict(list)
        self.without_retry_after = 0
        # Requests that no connection was free for, and those whose connection ended without an answer.
        self.not_offered = 0
        self.broken = 0
        self.seconds = 0.0

    def count(self, status):
        return len(self.latencies[status])

    @property
    def refused(self):
        """Milliseconds until each refusal, in order."""
        return sorted(value for status, values in self.latencies.items() if status != 200 for value in values)

    def quantile(self, status, share):
        return quantile(sorted(self.latencies[status]), share)


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Client:
    """One connection and the request that is under way on it."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0.0
        self.rest = b""
        self.received = b""

    def send(self):
        """Sends more of the request; `False` when the connection is broken."""
        try:
            while self.rest:
                self.rest = self.rest[self.socket.send(self.rest):]
        except BlockingIOError:
            pass
        except OSError:
            self.rest = b""
            # What the service has answered before it closed is still to be read.
        return True

    def answer(self):
        """(status, fields) once the answer is whole, `None` before, `()` when there will be none."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            return ()
        if not data:
            return ()
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return None
        lines = head.lower().split(b"\r\n")
        fields = dict(line.split(b": ", 1) for line in lines[1:])
        if len(body) < int(fields.get(b"content-length", 0)):
            return None
        self.received = b""
        return int(lines[0].split()[1]), fields


class Load:
    """Offers one request over and over."""

    def __init__(self, url, body, content_type="application/json"):
        parts = urlsplit(f"{url}/v1/events")
        self.address = parts.hostname, parts.port
        self.request = memoryview(
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.epoll = select.epoll()
        self.clients = {}
        self.idle = collections.deque()

    def closed(self, connections, seconds):
        """So many clients that each send again as soon as they have an answer."""
        outcome, started = Outcome(), time.perf_counter()
        end = started + seconds
        for _ in range(connections):
            self._send(self._connect(), time.perf_counter())
        while (now := time.perf_counter()) < end:
            for client in self._finished(outcome, end - now):
                self._send(client if client.socket.fileno() >= 0 else self._connect(), time.perf_counter())
        outcome.seconds = time.perf_counter() - started
        self._close()
        return outcome

    def offered(self, rate, seconds, connections_max=8_000):
        """`rate` requests a second for so long, each on a connection that is idle, else on a new one."""
        outcome, sent, total = Outcome(), 0, int(rate * seconds)
        started = time.perf_counter()
        end = started + seconds
        while (now := time.perf_counter()) < end:
            while sent < total and started + sent / rate <= now:
                client = self._free(connections_max)
                if client:
                    self._send(client, started + sent / rate)
                else:
                    outcome.not_offered += 1
                sent += 1
            for client in self._finished(outcome, 0.001):
                if client.socket.fileno() >= 0:
                    self.idle.append(client)
        outcome.seconds = time.perf_counter() - started
        # The rest is answered too, and is not goodput of these seconds.
        self._close()
        return outcome

    def _free(self, connections_max):
        while self.idle:
            client = self.idle.popleft()
            if client.socket.fileno() >= 0:
                return client
        return self._connect() if len(self.clients) < connections_max else None

    def _connect(self):
        client = Client(self.address)
        self.clients[client.socket.fileno()] = client
        self.epoll.register(client.socket, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
        return client

    def _send(self, client, due):
        client.due, client.rest = due, self.request
        client.send()

    def _finished(self, outcome, seconds):
        """Clients whose request has come to its end; those that are closed are so by then."""
        finished = []
        for number, events in self.epoll.poll(max(0, seconds)):
            client = self.clients.get(number)
            if not client:
                continue
            if client.rest:
                client.send()
            if not events & ~select.EPOLLOUT:
                continue
            answer = client.answer()
            if answer is None:
                continue
            if answer:
                status, fields = answer
                outcome.latencies[status].append((time.perf_counter() - client.due) * 1000)
                outcome.without_retry_after += status == 503 and b"retry-after" not in fields
            elif client.due:
                outcome.broken += 1
            if not answer or fields.get(b"connection") == b"close":
                self._drop(client)
            if answer or client.due:
                finished.append(client)
            client.due = 0.0
        return finished

    def _drop(self, client):
        self.clients.pop(client.socket.fileno(), None)
        client.socket.close()

    def _close(self):
        for client in list(self.clients.values()):
            self._drop(client)
        self.idle.clear()
