#!/usr/bin/env python3
"""A Millrace worker in Python: counts the lines of each job. Standard library only.

Start it with `millrace serve --worker-command "/usr/bin/python3 examples/count_worker.py"`.
It speaks AWP/1: frames of a 12-byte prefix, a JSON header and a raw body, requests on one
descriptor and replies on another. Whatever is printed goes to the service's log.
"""
import json
import os
import struct

PREFIX = struct.Struct(">IBBHI")  # body_len, type, flags, header_len, sequence
HELLO, HELLO_OK, HELLO_NO, JOB, PING, DRAIN = 0x01, 0x02, 0x03, 0x10, 0x12, 0x13
RESULT, FAIL, PONG, BYE = 0x20, 0x21, 0x23, 0x25
MORE_CHUNKS = 0x01

requests_fd, replies_fd = map(int, os.environ.get("AWP_FDS", "3,4").split(","))
requests = os.fdopen(requests_fd, "rb", 1 << 16)
replies = os.fdopen(replies_fd, "wb", 1 << 16)


def read_exactly(count):
    data = requests.read(count)
    if len(data) < count:
        raise SystemExit(0)  # the supervisor is gone
    return data


def receive():
    """Returns one message, its chunks put together."""
    header, body = None, b""
    while True:
        size, kind, flags, header_size, sequence = PREFIX.unpack(read_exactly(PREFIX.size))
        text = read_exactly(header_size)
        if header is None:
            header = json.loads(text or b"{}")
        body += read_exactly(size)
        if not flags & MORE_CHUNKS:
            return kind, sequence, header, body


def send(kind, sequence, header, body=b""):
    text = json.dumps(header).encode()
    replies.write(PREFIX.pack(len(body), kind, 0, len(text), sequence) + text + body)
    replies.flush()


def work(job, body):
    """The analysis itself; raise to fail the job."""
    return {"n": body.count(b"\n")}


def run_job(sequence, job, body):
    token = job["token"]
    if job["kind"] != "count":
        send(FAIL, sequence, {"token": token, "cause": "permanent", "message": "unknown kind"})
        return
    try:
        result = json.dumps(work(job, body)).encode()
    except Exception as error:
        send(FAIL, sequence, {"token": token, "cause": "error", "message": str(error)[:4000]})
        return
    send(RESULT, sequence, {"token": token, "enc": "json"}, result)


def main():
    kind, sequence, hello, _ = receive()
    if kind != HELLO or 1 not in hello["versions"]:
        send(HELLO_NO, sequence, {"reason": "only version 1 is known"})
        raise SystemExit(1)
    send(HELLO_OK, sequence, {
        "version": 1, "caps": [], "kinds": ["count"], "lang": "python", "pid": os.getpid()})
    while True:
        kind, sequence, header, body = receive()
        if kind == JOB:
            run_job(sequence, header, body)
        elif kind == PING:
            send(PONG, sequence, {"n": header["n"]})
        elif kind == DRAIN:
            send(BYE, sequence, {"reason": "drain"})
            return
        # Every other type may be skipped unless its highest bit is set.
        elif kind & 0x80:
            raise SystemExit("frame of an unknown critical type")


if __name__ == "__main__":
    main()
