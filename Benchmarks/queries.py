"""Statistics about a month of events, asked while as many events come in as can."""

import http.client
import json
import threading
import time
from urllib.parse import quote, urlsplit

import events
import load
from openloop import quantile
from processes import BenchmarkError
from report import progress

DAYS = 30
DAY = 86_400
PAUSE_SECONDS = 0.1
TURNS = 3
LINES_A_CHUNK = 2_000


def rows(lines):
    lines.row("P14", "statistics of a month while events come in as fast as they can, p99, ms", "P14 p99 ms",
              target="≤ 20 ms")
    lines.row("", "the same, p50, ms", "P14 p50 ms")
    for name in _questions(0):
        lines.row("", f"p99 of {name}, ms", f"P14 {name} p99 ms")
    lines.row("P14", "S2 beside the questions, events/s", "P14 with events/s", "without them",
              "P14 without events/s", "≥ 0.95 ×")


def _questions(now):
    """What is asked, by name; of the month before `now`."""
    month = f"from={_time(now - DAYS * DAY)}&to={_time(now)}"
    return {
        "all statistics": "/v1/stats",
        "types of the month": f"/v1/stats/types?{month}",
        "sources of the month": f"/v1/stats/sources?{month}",
        "events by the day": f"/v1/stats/series?step=1d&{month}",
        "events by the hour": f"/v1/stats/series?step=1h&{month}",
        "subjects by the day": f"/v1/stats/series?metric=subjects&step=1d&{month}",
        "p95 of a field by the day": f"/v1/stats/series?metric=p95&field=/value&type=click&step=1d&{month}",
        "the last hour": "/v1/stats/series",
    }


def _time(seconds):
    return quote(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)))


def p14(scenarios):
    settings, figures, cluster = scenarios.settings, scenarios.figures, scenarios.cluster
    with scenarios.measured("P14") as service:
        now = int(time.time()) // DAY * DAY
        _fill(service.url, settings.query_events, now)
        _settle(service.url, cluster)
        rates = {False: [], True: []}
        asked = []
        for _ in range(TURNS):
            for asks in (False, True):
                ends = threading.Event()
                asker = threading.Thread(target=_ask, args=(service.url, now, ends, asked), daemon=True)
                if asks:
                    asker.start()
                done = load.wrk("batch.lua", service.url, 16, settings.seconds, BENCH_BATCH=100)
                ends.set()
                if asks:
                    asker.join(30)
                rates[asks].append(done.rate * 100)
    wrong = [answer for answer in asked if answer[2] != 200]
    if wrong or not asked:
        scenarios.wrong.append(f"P14: {len(wrong)} of {len(asked)} questions without an answer: {wrong[:1]}")
    took = sorted(answer[1] for answer in asked)
    figures.add("P14 p99 ms", quantile(took, 0.99))
    figures.add("P14 p50 ms", quantile(took, 0.5))
    for name in _questions(0):
        figures.add(f"P14 {name} p99 ms", quantile(sorted(a[1] for a in asked if a[0] == name), 0.99))
    figures.add("P14 without events/s", sum(rates[False]) / TURNS)
    figures.add("P14 with events/s", sum(rates[True]) / TURNS)


def _ask(url, now, ends, asked):
    """Asks one question after the other, with a pause between them, over one connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    while not ends.is_set():
        for name, path in _questions(now).items():
            began = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            asked.append((name, (time.perf_counter() - began) * 1_000, answer.status))
            time.sleep(PAUSE_SECONDS)


def _fill(url, count, now):
    """Stores `count` events, spread evenly over the month before `now`, in the order of time."""
    progress(f"  storing {count:,} events of {DAYS} days")
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
    connection.request("POST", "/v1/events", body=_bodies(count, now), encode_chunked=True,
                       headers={"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200 or json.loads(text)["stored"] != count:
        raise BenchmarkError(f"P14: status {answer.status}: {text[:500]}")


def _bodies(count, now):
    source = events.stream()
    first = now - DAYS * DAY
    done = 0
    while done < count:
        lines = []
        # Events of one chunk share a second; their own fraction of it keeps them apart.
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(first + done * DAYS * DAY // count))
        for _ in range(min(LINES_A_CHUNK, count - done)):
            event = next(source)
            at = event.index('"time":"') + 8
            lines.append(event[:at] + text + event[at + 19:])
        done += len(lines)
        yield ("\n".join(lines) + "\n").encode()


def _settle(url, cluster):
    """Waits until analytics has seen all, and the hours and days are made."""
    progress("  waiting for the rollups")
    deadline = time.monotonic() + 1_200
    stale = " + ".join(
        f"(SELECT count(*) FROM rollups_{unit} WHERE is_stale AND start < date_trunc('{unit}', now(), 'UTC'))"
        for unit in ("hour", "day"))
    while time.monotonic() < deadline:
        if load.stats(url)["analytics"]["lag_events"] == 0 and cluster.sql("run", f"SELECT {stale}") == "0":
            return
        time.sleep(1)
    raise BenchmarkError("P14: the rollups were not made in 20 minutes")
