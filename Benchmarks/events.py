"""The events of the Python clients: the same shape as wrk/events.lua makes."""

import json
import os
import random
import time
import uuid

TYPES = ["page_view", "click", "purchase", "signup", "search", "add_to_cart"]
SOURCES = ["/web", "/ios", "/android", "/backend"]
AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15",
]


def _data(number):
    return {
        "url": f"https://shop.example.com/products/{random.randrange(10**6):06}?ref=home",
        "title": f"Product {number:06}",
        "duration_ms": random.randint(1, 30000),
        "value": round(random.uniform(0, 500), 2),
        "user_agent": AGENTS[number % 2],
        "screen": {"w": 1920, "h": 1080},
        "tags": [f"a{number % 7}", f"b{number % 11}"],
        "session": f"{random.getrandbits(32):08x}",
    }


def _template(number, now):
    """An event's text after the id."""
    seconds, milliseconds = now - random.randint(1, 50), random.randrange(1000)
    event = {
        "type": random.choice(TYPES),
        "source": random.choice(SOURCES),
        "subject": f"user-{random.randint(1, 50000)}",
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03}Z",
        "data": _data(number),
    }
    return '","' + json.dumps(event, separators=(",", ":"))[2:]


def stream():
    """Texts of events without end, every one with a fresh random UUID."""
    now = int(time.time())
    templates = [_template(number, now) for number in range(1000)]
    while True:
        for template in templates:
            identity = uuid.UUID(bytes=os.urandom(16), version=4)
            yield f'{{"id":"{identity}{template}'


def write_ndjson(path, count):
    """Writes `count` events, one a line."""
    events = stream()
    with open(path, "w", encoding="ascii") as file:
        for _ in range(count):
            file.write(next(events))
            file.write("\n")


def one_kilobyte():
    """A single event of exactly 1,024 bytes."""
    text = next(stream())
    padding = 1024 - len(text) - len(',"note":""')
    return text[:-2] + f',"note":"{"x" * padding}"' + text[-2:]
