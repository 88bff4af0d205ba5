"""What two workers cost, beside each other (scripts/measure runs it)."""
import argparse
import collections
import concurrent.futures
import contextlib
import os
import shutil
import statistics
import time

from measured_jobs import Jobs
from measured_worker import Worker

parser = argparse.ArgumentParser()
parser.add_argument("--state", required=True)
parser.add_argument("--parts", required=True)
parser.add_argument("--runs", type=int, required=True)
parser.add_argument("--idle", type=float, required=True)
parser.add_argument("--images", type=int, required=True)
parser.add_argument("--instance", type=int, required=True)
parser.add_argument("--seed-job", required=True)
parser.add_argument("--backend", required=True)
parser.add_argument("--agent", required=True)
parser.add_argument("--reference", required=True)
options = parser.parse_args()
parts = options.parts.split()
JOBS = 10  # of a run of the part throughput, in a queue and in a chain
COMMANDS = {"agent": options.agent, "reference": options.reference}

results = collections.defaultdict(lambda: {name: [] for name in COMMANDS})
jobs = Jobs(options.state, options.seed_job)


def note(name, worker, value):
    results[name][worker.name].append(value)


def note_ms(name, worker, seconds):
    note(f"{name}, ms", worker, 1000 * seconds)


def in_turns(pair, runs=options.runs):
    """What else the machine does hits both alike."""
    for _ in range(runs):
        yield from pair


def post(worker, kind, *settings):
    return jobs.post(kind, f"measure-{worker.number}", *settings)


# Starts and idle workers.
def measure_start(pair):
    remembered = os.environ["XDG_CACHE_HOME"]
    for worker in in_turns(pair):
        shutil.rmtree(remembered, ignore_errors=True)
        for name in "start → registered, first", "start → registered":
            note_ms(name, worker, worker.start())
            worker.stop()


def measure_idle(worker):
    before = worker.usage()
    memory = worker.private_memory(options.idle)
    used = [
        [after - earlier for after, earlier in zip(usage, before.get(path, (0, 0)))]
        for path, usage in worker.usage().items()]
    note(f"idle CPU over {options.idle:g} s, ms", worker, sum(cpu for cpu, _ in used) / 1e6)
    note("idle context switches", worker, sum(switches for _, switches in used))
    note_memory("idle private memory", worker, memory)
    note("of it written (dirty), MB", worker, worker.memory(r"Private_Dirty:\s+(\d+)"))
    note("idle resident memory, MB", worker, worker.memory(r"\nRss:\s+(\d+)"))
    note("threads", worker, worker.threads())


def measure_memory(worker):
    note_memory("private memory after jobs", worker, worker.private_memory(options.idle))


def note_memory(name, worker, readings):
    for which, value in zip(["", ", 95 of 100", ", most"], readings):
        note(f"{name}{which}, MB", worker, value)


def at_leisure(measure, pair):
    """What takes its time is done with both at once."""
    time.sleep(5)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(measure, pair))


# Jobs.
def measure_end(pair):
    for worker in in_turns(pair):
        note_end("test in QEMU", worker, run_in_qemu(worker, "basic"))
    for worker in in_turns(pair, options.images):
        job = run_in_qemu(worker, "load")
        note_ms("150 images: uploading → done", worker, job.done - job.uploading)
        note("150 images: files after the exit", worker, job.late_files)


def run_in_qemu(worker, kind):
    numbers = post(worker, kind)
    ended = worker.await_backend()
    job, = jobs.wait(numbers)
    job.ended = ended
    return job


def measure_way(pair):
    for worker in pair:
        jobs.wait(post(worker, "basic"))
    two = ["LAB_HOLD=1", "TEST:1=first", "TEST:2=second"]
    for worker in in_turns(pair):
        first, second = sorted(jobs.wait(post(worker, "basic", *two)), key=lambda job: job.grabbed)
        note_begin("share", worker, second)
        note_end("short test", worker, first)
        note_ms("queue: done → next exec", worker, second.began - first.done)
        note_ms("queue: done → next grab, web UI", worker, second.grabbed - first.done)
        first, second = jobs.wait(post(worker, "basic", *two, "_START_DIRECTLY_AFTER:2=1"))
        note_ms("chain: done → next accepted", worker, second.accepted - first.done)
        note_ms("chain: done → next exec", worker, second.began - first.done)
        note_ms("chain: done → next exec, web UI", worker, second.waited(first.done, second.began))
        note_ms("chain: exit → next exec", worker, second.began - first.ended)


def measure_cache(pair):
    for worker in pair:
        jobs.wait(post(worker, "basic"))
    for worker in in_turns(pair):
        job, = jobs.wait(post(worker, "basic", "LAB_HOLD=1"))
        note_begin("cache", worker, job)


def measure_throughput(pair):
    tests = [f"TEST:{number}=short-{number}" for number in range(JOBS)]
    chain = [f"_START_DIRECTLY_AFTER:{number}={number - 1}" for number in range(1, JOBS)]
    for worker in in_turns(pair):
        worker.used()
        queued = jobs.wait(post(worker, "basic", "LAB_HOLD=0", *tests))
        time.sleep(1)  # what cleans up has ended
        cpu = worker.used() - sum(job.backend_cpu for job in queued)
        note_rate("queue", worker, queued)
        note_ms("queue: CPU time a job", worker, cpu / JOBS)
        note_rate("chain", worker, jobs.wait(post(worker, "basic", "LAB_HOLD=0", *tests, *chain)))


def note_rate(name, worker, ended):
    ended.sort(key=lambda job: job.done)
    period = (ended[-1].done - ended[0].done) / (JOBS - 1)
    of_web_ui = 0.0
    for job, following in zip(ended, ended[1:]):
        free = max(job.done, following.grabbed)
        of_web_ui += free - job.done + following.waited(free, following.done)
    note(f"{name}: jobs an hour", worker, 3600 / period)
    note_ms(f"{name}: a job", worker, period)
    note_ms(f"{name}: a job, web UI", worker, of_web_ui / (JOBS - 1))


def note_begin(name, worker, job):
    note_ms(f"{name}: grab → accepted", worker, job.accepted - job.grabbed)
    note_ms(f"{name}: grab → exec", worker, job.began - job.grabbed)
    note_ms(f"{name}: grab → exec, web UI", worker, job.waited(job.grabbed, job.began))


def note_end(name, worker, job):
    note_ms(f"{name}: exit → uploading", worker, job.uploading - job.ended)
    note_ms(f"{name}: exit → done", worker, job.done - job.ended)
    note_ms(f"{name}: exit → done, web UI", worker, job.waited(job.ended, job.done))


@contextlib.contextmanager
def running(pair):
    """Both run inside of this."""
    try:
        for worker in pair:
            worker.start()
        yield pair
    finally:
        for worker in pair:
            worker.stop()


def make_pair(offset, *arguments, **environment):
    """The agent and the reference worker on the next slots but `offset`, as scripts/measure has configured them."""
    numbers = [options.instance + offset, options.instance + offset + 1]
    return [
        Worker(options.state, name, number, [COMMANDS[name], *arguments], **environment)
        for name, number in zip(COMMANDS, numbers)]


def print_table():
    print(f"{'':44}{'agent':>10}{'reference':>12}{'ratio':>8}   {'agent: from … to':>22}{'reference: from … to':>24}")
    for name, values in results.items():
        agent, reference = map(statistics.median, values.values())
        ratio = f"{agent / reference:.2f}" if reference else "-"
        spread = "".join(f"{min(all):>12.1f} … {max(all):9.1f}" for all in values.values())
        print(f"{name:44}{agent:10.1f}{reference:12.1f}{ratio:>8}   {spread}")


plain = make_pair(0)
short = ["--isotovideo", options.backend]
log = f"{options.state}/log/measure-backend.log"
with_share = make_pair(2, *short, MEASURE_LOG=log)
with_cache = make_pair(4, *short, MEASURE_LOG=log, OPENQA_BASEDIR=f"{options.state}/cache-host")
try:
    if "start" in parts:
        measure_start(plain)
    if "idle" in parts or "end" in parts:
        with running(plain):
            if "idle" in parts:
                at_leisure(measure_idle, plain)
            if "end" in parts:
                measure_end(plain)
            if "idle" in parts and "end" in parts:
                at_leisure(measure_memory, plain)
    if "way" in parts:
        with running(with_share):
            measure_way(with_share)
        with running(with_cache):
            measure_cache(with_cache)
    if "throughput" in parts:
        with running(with_share):
            measure_throughput(with_share)
finally:
    if results:
        print_table()
