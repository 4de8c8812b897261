"""The service under test: the release binary on a database of the private cluster."""

import os
import re
import resource
import select
import subprocess
import time

from processes import BenchmarkError, stop

START_SECONDS_MAX = 60


class Service:
    """`uri` is None for the embedded database; `descriptors` is the hard limit of open ones."""

    def __init__(self, binary, uri, folder, core=None, options=(), descriptors=None):
        self.log = os.path.join(folder, "service.log")
        self._log = open(self.log, "ab")
        database = ["--database", uri] if uri else []

        def prepare():
            if core is not None:
                os.sched_setaffinity(0, {core})
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [binary, "serve", *database, "--data", os.path.join(folder, "data"),
             "--listen", "127.0.0.1:0", "--log-level", "warning", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log, text=True,
            preexec_fn=prepare)
        self.url = None

    def __enter__(self):
        try:
            self.url = self._address()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        """Drains the service; an exit status other than 0 is an error of the run."""
        status = stop(self.process)
        self.process.stdout.close()
        self._log.close()
        if status != 0 and self.url:
            raise BenchmarkError(f"the service ended with status {status}:\n{self._tail()}")

    def _address(self):
        """Waits for the line that `serve` prints once it takes events."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.process.stdout], [], [], left)[0]:
                break
            line = self.process.stdout.readline()
            if found := re.search(r"listening on (http://\S+)", line):
                return found.group(1).rstrip("/")
            if not line:
                break
        raise BenchmarkError(f"the service did not start:\n{self._tail()}")

    def _tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]
