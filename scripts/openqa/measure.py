"""What two workers cost, beside each other (scripts/measure runs it)."""
import glob
import math
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

STATE, RUNS, IDLE, IMAGES, SEED_JOB = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
AGENT, REFERENCE = sys.argv[6], sys.argv[7:]


class Worker:
    """A worker that runs, with the times of what it says."""

    def __init__(self, name, number, command):
        self.name, self.number, self.command = name, number, command
        self.process, self.registered = None, threading.Event()

    def start(self):
        """Returns the seconds from exec to the registration."""
        environment = dict(os.environ, OPENQA_CONFIG=f"{STATE}/worker-{self.number}")
        self.registered.clear()
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [*self.command, "--instance", str(self.number)], cwd="/", env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self.read, args=[self.process.stdout], daemon=True).start()
        if not self.registered.wait(60):
            sys.exit(f"{self.name} does not register, see {STATE}/log/measure-{self.number}.log")
        return self.at - begin

    def read(self, output):
        with open(f"{STATE}/log/measure-{self.number}.log", "ab") as log:
            for line in output:
                if b"Registered and connected" in line and not self.registered.is_set():
                    self.at = time.monotonic()
                    self.registered.set()
                log.write(line)
                log.flush()

    def stop(self):
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

    def end_of_job(self, kind):
        """Runs a job. Seconds from the end of its backend to the web UI's answer to 'uploading', from there to the answer
        to set_done, and how many files were sent after the backend's end."""
        log = open(f"{STATE}/log/nginx-measure.log")
        log.seek(0, os.SEEK_END)
        job = subprocess.run(
            [SEED_JOB, kind, f"WORKER_CLASS=measure-{self.name}"], check=True, capture_output=True, text=True
        ).stdout.split()[-1]
        backend = self.backend(time.monotonic() + 120)
        descriptor = os.pidfd_open(backend)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        if not poller.poll(240_000):
            sys.exit(f"the backend of job {job} does not end")
        ended = time.time()
        os.close(descriptor)
        lines, deadline = [], time.monotonic() + 120
        while not any(f"/jobs/{job}/set_done" in line for line in lines):
            if time.monotonic() > deadline:
                sys.exit(f"job {job} does not end")
            lines += log.readlines()
            time.sleep(0.1)
        uploading, done, files = None, None, 0
        for line in lines:
            at, duration, method, path = line.split()[:4]
            # What was on its way at the backend's end has begun before it.
            if method != "POST" or float(at) - float(duration) < ended - 0.002:
                continue
            if path.startswith(f"/api/v1/jobs/{job}/status"):
                uploading = uploading or float(at)  # the first status after the end
            elif path.startswith(f"/api/v1/jobs/{job}/artefact"):
                files += 1
            elif path.startswith(f"/api/v1/jobs/{job}/set_done"):
                done = float(at)
        if uploading is None or done is None:
            sys.exit(f"job {job} ended without 'uploading'")
        return uploading - ended, done - uploading, files

    def is_at_home(self, pid):
        """Whether a process is in the slot's pool."""
        try:
            return os.readlink(f"/proc/{pid}/cwd").endswith(f"/pool/{self.number}")
        except OSError:
            return False

    def backend(self, deadline):
        """The process id of the job's backend, when it runs."""
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


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def starts(worker, prepare):
    times = []
    for _ in range(RUNS):
        prepare()
        times.append(worker.start())
        worker.stop()
    return times


def measure(worker):
    results = {}

    def add_memory(name, readings):
        for which, value in zip(["", ", 95 of 100", ", most"], readings):
            results[f"{name}{which}, MB"] = [value]

    remembered = os.environ["XDG_CACHE_HOME"]
    results["start → registered, first, ms"] = [
        1000 * t for t in starts(worker, lambda: shutil.rmtree(remembered, ignore_errors=True))]
    results["start → registered, ms"] = [1000 * t for t in starts(worker, lambda: None)]
    worker.start()
    time.sleep(5)
    before = worker.usage()
    memory = worker.private_memory(IDLE)
    used = [
        [after - earlier for after, earlier in zip(usage, before.get(path, (0, 0)))]
        for path, usage in worker.usage().items()]
    results[f"idle CPU over {IDLE:g} s, ms"] = [sum(cpu for cpu, _ in used) / 1e6]
    results["idle context switches"] = [sum(switches for _, switches in used)]
    add_memory("idle private memory", memory)
    results["of it written (dirty), MB"] = [worker.memory(r"Private_Dirty:\s+(\d+)")]
    results["idle resident memory, MB"] = [worker.memory(r"\nRss:\s+(\d+)")]
    results["threads"] = [worker.threads()]
    results["exit → uploading, ms"] = [1000 * worker.end_of_job("basic")[0] for _ in range(RUNS)]
    if ends := [worker.end_of_job("load") for _ in range(IMAGES)]:
        results["150 images: uploading → done, ms"] = [1000 * end[1] for end in ends]
        results["150 images: files after the exit"] = [end[2] for end in ends]
    time.sleep(5)
    add_memory("private memory after jobs", worker.private_memory(IDLE))
    worker.stop()
    return results


workers = [Worker("agent", 43, [AGENT]), Worker("reference", 44, REFERENCE)]
try:
    table = [measure(worker) for worker in workers]
finally:
    for worker in workers:
        if worker.process and worker.process.poll() is None:
            worker.stop()
print(f"{'':42}{'agent':>10}{'reference':>12}{'ratio':>8}   all of the agent's | all of the reference's")
for name in table[0]:
    agent, reference = (statistics.median(results[name]) for results in table)
    ratio = f"{agent / reference:.2f}" if reference else "-"
    everything = " | ".join(" ".join(f"{value:.1f}" for value in results[name]) for results in table)
    print(f"{name:42}{agent:10.1f}{reference:12.1f}{ratio:>8}   {everything}")
