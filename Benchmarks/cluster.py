"""A private PostgreSQL for one run: own folder, Unix socket only, fsync on, stopped by its process id."""

import os
import signal
import subprocess
import time

from processes import BenchmarkError, postgres_program, stop, unprivileged

# What the service's own embedded cluster runs with. Both sides of a comparison use this one server.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": 40,
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_buffers": "64MB",
    "max_wal_size": "8GB",
    "wal_compression": "lz4",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "10s",
    "random_page_cost": 1.1,
    "jit": "off",
}


class Cluster:
    def __init__(self, folder):
        self.folder = os.path.join(folder, "cluster")
        self.socket = os.path.join(folder, "socket")
        self.log = os.path.join(folder, "postgres.log")
        self.process = None
        self._drop, self.owner = unprivileged()

    def start(self):
        for path in (self.folder, self.socket):
            os.mkdir(path, 0o700)
            os.chown(path, self.owner, -1)
        with open(self.log, "ab") as log:
            subprocess.run(
                [postgres_program("initdb"), "-D", self.folder, "-U", "bench", "-A", "trust", "-E", "UTF8",
                 "--locale=C.UTF-8", "--data-checksums"],
                check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **self._drop)
        self.resume()

    def resume(self):
        """Starts the server and returns when it answers."""
        with open(self.log, "ab") as log:
            settings = dict(SETTINGS, unix_socket_directories=self.socket,
                            shared_buffers=self._shared_buffers())
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            self.process = subprocess.Popen(
                [postgres_program("postgres"), "-D", self.folder, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, **self._drop)
        self._wait()

    def halt(self):
        """Stops the server as an operator does who waits for nobody; `resume` starts it again."""
        stop(self.process, signal.SIGINT)

    def stop(self):
        if self.process:
            self.halt()

    def uri(self, database):
        return f"postgresql://bench@/{database}?host={self.socket}"

    def sql(self, database, statement):
        """Runs one statement and returns what it prints, unaligned."""
        return self.psql(database, statement).stdout.strip()

    def psql(self, database, command):
        """Runs one command of psql, a backslash command too."""
        done = subprocess.run(
            [postgres_program("psql"), "-qXAt", "-v", "ON_ERROR_STOP=1", self.uri(database), "-c", command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError(f"psql: {done.stderr.strip()}")
        return done

    def fresh(self, database, template="template0"):
        """Makes the database anew and flushes what the last one left, so that every run starts alike."""
        self.sql("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self.sql("postgres", f"CREATE DATABASE {database} TEMPLATE {template}")
        self.sql("postgres", "CHECKPOINT")

    def rows(self, database):
        return int(self.sql(database, "SELECT count(*) FROM events"))

    def version(self):
        return self.sql("postgres", "SHOW server_version")

    @staticmethod
    def _shared_buffers():
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return f"{memory // 4 // 2**20}MB"

    def _wait(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.sql("postgres", "SELECT 1")
                return
            except BenchmarkError:
                time.sleep(0.05)
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise BenchmarkError(f"PostgreSQL did not start:\n{log.read()[-2000:]}")
