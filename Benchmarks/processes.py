"""Child processes: found by what they are called, measured and stopped by their process id."""

import glob
import os
import pwd
import shutil
import signal
import subprocess

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """Something that makes the run worthless; its text says what to do."""


def program(name):
    """The path of an installed program, also of those that Debian keeps out of a user's PATH."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if not path:
        raise BenchmarkError(f"{name} is not installed; `make bench` installs it")
    return path


def postgres_program(name):
    """A program of PostgreSQL's server, the newest version installed."""
    found = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    if found:
        return max(found, key=lambda path: float(path.split("/")[4]))
    return program(name)


def unprivileged():
    """Arguments of Popen that drop root, which PostgreSQL refuses to run as, and the user's id."""
    if os.geteuid() != 0:
        return {}, os.geteuid()
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}, user.pw_uid
    raise BenchmarkError("no unprivileged user to run PostgreSQL as")


def stop(process, signal_number=signal.SIGTERM, seconds=60):
    """Ends one child and returns its exit status; kills it when it does not end in time."""
    if process.poll() is None:
        process.send_signal(signal_number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def _times(pid):
    """(parent, own seconds of CPU, seconds of children that have ended) of a process."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    ticks = [int(value) for value in fields[11:15]]
    return int(fields[1]), sum(ticks[:2]) / TICKS_PER_SECOND, sum(ticks[2:]) / TICKS_PER_SECOND


def cpu_seconds(pid):
    """CPU that one process has used, its children not included."""
    return _times(pid)[1]


def family_cpu_seconds(pid):
    """CPU that a process and its children have used, those that have ended included."""
    _, own, ended = _times(pid)
    total = own + ended
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent, used, _ = _times(entry)
            except OSError:
                continue
            total += used if parent == pid else 0
    return total


def _status(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise BenchmarkError(f"no {name} of process {pid}")


def resident_bytes(pid):
    """Memory of one process that is in use now, shared pages of programs and libraries included."""
    return _status(pid, "VmRSS")


def peak_bytes(pid):
    """The most that it has been since `reset_peak`, or the start."""
    return _status(pid, "VmHWM")


def reset_peak(pid):
    """Lets the peak begin anew (proc(5), clear_refs)."""
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def children(pid):
    """The processes that this one has started and that still run."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if _times(entry)[0] == pid:
                    found.append(int(entry))
            except OSError:
                continue
    return found


def pin(core):
    """A `preexec_fn` that keeps a child on one core; nothing when `core` is None."""
    return None if core is None else lambda: os.sched_setaffinity(0, {core})
