"""The scenarios, each from a fresh database to its figures and its count of rows."""

import json
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager

import events
import footprint
import hostile
import load
import outage
import overload
import queries
import references
from processes import BenchmarkError, cpu_seconds, family_cpu_seconds
from report import progress
from service import Service


class Scenarios:
    """Runs each scenario once a call; `wrong` gathers what must not be: missing rows and errors."""

    def __init__(self, settings, cluster, folder, figures):
        self.settings, self.cluster, self.folder, self.figures = settings, cluster, folder, figures
        self.wrong = []
        self.body = os.path.join(folder, "events.ndjson")
        self.one_kilobyte = os.path.join(folder, "one-kilobyte.json")
        cores = sorted(os.sched_getaffinity(0))
        # P7 is one core against one core; the load has the other one.
        self.server_core, self.load_core = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)

    def prepare(self):
        """Makes the inputs and the migrated, partitioned database that every run is a copy of."""
        progress(f"preparing {self.settings.events:,} events and the database")
        events.write_ndjson(self.body, self.settings.events)
        with open(self.one_kilobyte, "w", encoding="ascii") as file:
            file.write(events.one_kilobyte())
        self.cluster.fresh("migrated")
        with self.service("migrated"):
            pass

    # One event a request, and arrays of 100: closed loops.

    def s1(self):
        self._closed_loop("S1", "single.lua", connections=64, batch=1)

    def s2(self):
        self._closed_loop("S2", "batch.lua", connections=16, batch=100)
        self._copy("S2", "text")

    def _closed_loop(self, name, script, connections, batch):
        with self.measured(name) as service:
            done = load.wrk(script, service.url, connections, self.settings.seconds, BENCH_BATCH=batch)
            self.cpu(name, service, done.answered * batch)
        self.figures.add(f"{name} events/s", done.rate * batch)
        self.figures.add(f"{name} p50 ms", done.p50)
        self.figures.add(f"{name} p99 ms", done.p99)
        # wrk hangs up on the requests that are under way at its end: stored perhaps, acknowledged to nobody.
        self.check(name, done.answered * batch, in_flight=connections * batch, errors=done.errors)
        self._check_numbers(name, done.sent, connections, batch)

    def _check_numbers(self, name, sent, connections, batch):
        """Every event is there of the requests that are too old to have been under way at the end."""
        last = sent - 10 * connections
        rows = int(self.cluster.sql(
            "run", f"SELECT count(*) FROM events WHERE (data->>'n')::bigint BETWEEN 1 AND {last}"))
        if last > 0 and rows != last * batch:
            self.wrong.append(f"{name}: MISSING {last * batch - rows} of the first {last * batch} events sent")

    # One long body, and psql \copy of the same rows into the same table.

    def s3(self):
        with self.measured("S3") as service:
            seconds, answer = load.stream_file(service.url, self.body)
            self.cpu("S3", service, self.settings.events)
        self.figures.add("S3 events/s", self.settings.events / seconds)
        if answer["stored"] != self.settings.events:
            self.wrong.append(f"S3: {answer['stored']} of {self.settings.events} stored: {answer}")
        self.check("S3", answer["stored"])
        self._copy("S3", "text")
        self._copy("S3", "binary")

    def _copy(self, name, form):
        """Times psql \\copy of the rows that the service has just stored, from a file, into a fresh database."""
        path = os.path.join(self.folder, f"rows.{form}")
        columns = self.cluster.sql(
            "run", "SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum) FROM pg_attribute "
            "WHERE attrelid = 'events'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''")
        stored = self.cluster.rows("run")
        query = f"SELECT {columns} FROM events ORDER BY seq"
        self.cluster.psql("run", f"\\copy ({query}) TO '{path}' (FORMAT {form})")
        self.cluster.fresh("copied", "migrated")
        started = time.monotonic()
        self.cluster.psql("copied", f"\\copy events ({columns}) FROM '{path}' (FORMAT {form})")
        seconds = time.monotonic() - started
        rows = self.cluster.rows("copied")
        if rows != stored:
            self.wrong.append(f"\\copy {form}: {rows} rows of {stored}")
        self.figures.add(f"{name} copy {form} rows/s", rows / seconds)

    # A fixed rate, and one fdatasync.

    def s4(self):
        self.figures.add("fdatasync ms", references.fdatasync_milliseconds(self.folder))
        with self.measured("S4") as service:
            done = load.paced(service.url, self.settings.rate, self.settings.seconds)
        self.figures.add("S4 p50 ms", done.quantile(0.5))
        self.figures.add("S4 p99 ms", done.quantile(0.99))
        self.check("S4", done.answered, errors=done.errors)

    # Small answers, against nginx.

    def p7(self):
        self.cluster.fresh("run", "migrated")
        with open(self.one_kilobyte, "rb") as file:
            event = file.read()
        with self.service("run", self.server_core) as service:
            paths = "/healthz", "/v1/events?validate=only"
            get, post = load.get(service.url + paths[0]), load.post(service.url + paths[1], event)
            with references.Nginx(self.folder, get, post, self.server_core) as nginx:
                for name, server, get_path, post_path in (
                        ("millrace", service, *paths), ("nginx", nginx, "/get", "/post")):
                    self._requests(f"GET {name}", server, get_path)
                    self._requests(f"POST {name}", server, post_path, BENCH_BODY=self.one_kilobyte)

    def _requests(self, name, server, path, **settings):
        before = cpu_seconds(server.pid)
        done = load.wrk("fixed.lua", server.url + path, 64, self.settings.seconds, self.load_core, **settings)
        used = cpu_seconds(server.pid) - before
        self.figures.add(f"{name} requests/s", done.rate)
        self.figures.add(f"{name} CPU µs", used / done.answered * 1e6)
        if done.errors:
            self.wrong.append(f"{name}: {done.refused} refused, {done.broken} broken connections")

    # Memory and start, the spool, hostile clients, overload, the end: files of their own.

    def p4(self):
        outage.p4(self)

    def p14(self):
        queries.p14(self)

    def r2(self):
        outage.r2(self)

    def p10(self):
        footprint.p10(self)

    def p11(self):
        footprint.p11(self)

    def r7(self):
        hostile.r7(self)

    def r9(self):
        overload.r9(self)

    def r10(self):
        overload.r10(self)

    # What the binary measures in itself.

    def p9(self):
        self._in_itself("bench-scan")
        self.figures.add("json.loads GB/s", references.json_loads_gigabytes_per_second())

    def p12(self):
        self._in_itself("bench-worker")
        self.figures.add("ProcessPoolExecutor round trips/s", references.process_pool_round_trips())

    def _in_itself(self, command):
        """Runs a hidden subcommand; each line of its output is {"name":…,"value":…,"unit":…}."""
        done = subprocess.run([self.settings.binary, command], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode != 0 or not lines:
            raise BenchmarkError(f"millrace {command}: status {done.returncode}: {done.stderr[-1000:]}")
        for line in lines:
            self.figures.add(f"{command}: {line['name']}, {line['unit']}", line["value"])

    # What they share.

    @contextmanager
    def measured(self, name, **settings):
        """A service on a fresh database; its CPU and PostgreSQL's are counted from here."""
        progress(name)
        self.cluster.fresh("run", "migrated")
        with self.service("run", **settings) as service:
            self._cpu_before = cpu_seconds(service.pid), family_cpu_seconds(self.cluster.process.pid)
            yield service

    @contextmanager
    def service(self, database, core=None, **settings):
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            with Service(self.settings.binary, self.cluster.uri(database), folder, core, **settings) as service:
                yield service

    def cpu(self, name, service, count):
        """CPU an event, of the service without its workers and of PostgreSQL."""
        ours, postgres = self._cpu_before
        if count:
            self.figures.add(f"{name} CPU µs", (cpu_seconds(service.pid) - ours) / count * 1e6)
            used = family_cpu_seconds(self.cluster.process.pid) - postgres
            self.figures.add(f"{name} PostgreSQL CPU µs", used / count * 1e6)

    def check(self, name, acknowledged, in_flight=0, errors=0):
        """After the drain the table holds every acknowledged event, and nothing that was not sent."""
        rows = self.cluster.rows("run")
        if rows < acknowledged:
            self.wrong.append(f"{name}: MISSING {acknowledged - rows} of {acknowledged} acknowledged events")
        elif rows > acknowledged + in_flight:
            self.wrong.append(f"{name}: {rows - acknowledged} rows more than were acknowledged")
        if errors:
            self.wrong.append(f"{name}: {errors} errors")
        progress(f"  rows {rows:,}, acknowledged {acknowledged:,}, errors {errors}")
