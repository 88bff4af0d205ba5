"""A worker that scripts/measure measures."""
import ctypes
import glob
import math
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import threading
import time

# Processes that a worker has left to themselves become this one's children, and so their CPU time is not lost.
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


class Worker:
    """A worker that runs, with the time of its registration."""

    def __init__(self, state, name, number, command, **environment):
        self.name, self.number, self.command = name, number, [*command, "--instance", str(number)]
        self.log = f"{state}/log/measure-{number}.log"
        self.environment = environment | {"OPENQA_CONFIG": f"{state}/worker-{number}"}
        self.process, self.registered = None, threading.Event()

    def start(self):
        """Returns the seconds from exec to the registration."""
        self.registered.clear()
        begin = time.monotonic()
        self.process = subprocess.Popen(
            self.command, cwd="/", env=os.environ | self.environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self.follow, args=[self.process.stdout], daemon=True).start()
        if not self.registered.wait(60):
            sys.exit(f"{self.name} does not register, see {self.log}")
        return self.at - begin

    def follow(self, output):
        with open(self.log, "ab") as log:
            for line in output:
                if b"Registered and connected" in line and not self.registered.is_set():
                    self.at = time.monotonic()
                    self.registered.set()
                log.write(line)
                log.flush()

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tree(self):
        """The process ids of the worker and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for path in glob.glob(f"/proc/{pid}/task/*/children"):
                waiting += map(int, read(path).split())
        return found

    def memory(self, pattern):
        """MB of what smaps_rollup calls by a name."""
        texts = [read(f"/proc/{pid}/smaps_rollup") for pid in self.tree()]
        return sum(int(size) for text in texts for size in re.findall(pattern, text)) / 1024

    def private_memory(self, seconds):
        """MB that no other process maps, read every two seconds for so long: the median, what 95 of 100 readings do not
        exceed, and the most."""
        readings, end = [], time.monotonic() + seconds
        while not readings or time.monotonic() < end:
            readings.append(self.memory(r"Private_\w+:\s+(\d+)"))
            time.sleep(2)
        readings.sort()
        return statistics.median(readings), readings[math.ceil(0.95 * len(readings)) - 1], readings[-1]

    def usage(self):
        """Of each thread the nanoseconds of CPU time and the context switches."""
        usage = {}
        for pid in self.tree():
            for path in glob.glob(f"/proc/{pid}/task/*"):
                switches = re.findall(r"ctxt_switches:\s+(\d+)", read(f"{path}/status"))
                usage[path] = int((read(f"{path}/schedstat").split() or [0])[0]), sum(map(int, switches))
        return usage

    def threads(self):
        return sum(len(glob.glob(f"/proc/{pid}/task/*")) for pid in self.tree())

    def used(self):
        """Seconds of CPU time since the last call: the worker's, that of its children that have ended, and that of what it
        has left to itself and has ended. Backends are among them."""
        fields = read(f"/proc/{self.process.pid}/stat").rsplit(")", 1)[1].split()
        total = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        before, self.total = getattr(self, "total", 0), total
        return total - before + sum(usage.ru_utime + usage.ru_stime for usage in self.left_behind())

    def left_behind(self):
        """The resource usage of processes that have ended and were left to this one."""
        for path in glob.glob("/proc/self/task/*/children"):
            for pid in map(int, read(path).split()):
                state = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
                if pid != self.process.pid and state[:1] == ["Z"]:
                    yield os.wait4(pid, 0)[2]

    def await_backend(self):
        """Waits for a backend in the slot's pool and returns the time of its end."""
        backend = self.backend(time.monotonic() + 120)
        descriptor = os.pidfd_open(backend)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        if not poller.poll(240_000):
            sys.exit(f"the backend of {self.name} does not end")
        ended = time.time()
        os.close(descriptor)
        return ended

    def backend(self, deadline):
        while time.monotonic() < deadline:
            # Not below the agent: a job's processes outlive it.
            for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
                if not self.is_at_home(pid):
                    continue
                arguments = read(f"/proc/{pid}/cmdline").split("\0")
                if any(os.path.basename(argument) == "isotovideo" for argument in arguments[:2]):
                    if "--version" not in arguments:
                        return pid
            time.sleep(0.05)
        sys.exit(f"{self.name} starts no backend")

    def is_at_home(self, pid):
        """Whether a process is in the slot's pool."""
        try:
            return os.readlink(f"/proc/{pid}/cwd").endswith(f"/pool/{self.number}")
        except OSError:
            return False
