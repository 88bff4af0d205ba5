"""Uploads by two workers' code, in turns (scripts/benchmark-uploads runs it)."""
import json
import os
import random
import statistics
import subprocess
import sys
import time

WORK, RUNS, FILES, ASSET, AGENT, REFERENCE = sys.argv[1], *map(int, sys.argv[2:5]), *sys.argv[5:]
MODULES, SCREENSHOTS = 500, 40


def pool(name, folder):
    path = f"{WORK}/{name}/{folder}"
    os.makedirs(path)
    return path


def logs(name, count):
    folder = pool(name, "ulogs")
    for number in range(count):
        with open(f"{folder}/log-{number}.txt", "wb") as file:
            file.write(random.randbytes(50 << 10))
    return [f"{folder}/{entry}" for entry in os.listdir(folder)]


def asset(name, mebibytes):
    path = f"{pool(name, 'assets_public')}/disk.img"
    with open(path, "wb") as file:
        block = random.randbytes(1 << 20)
        for _ in range(mebibytes):
            file.write(block)
    return [path]


def results(name):
    folder = pool(name, "testresults")
    modules = [f"module{number}" for number in range(MODULES)]
    with open(f"{folder}/image.png", "wb"):
        pass
    detail = {
        "screenshot": "image.png", "result": "ok", "frametime": ["1.25", "1.29"], "tags": ["a-tag", "another"],
        "needle": "a-needle-20260101", "area": [{"x": 1, "y": 2, "w": 300, "h": 40, "similarity": 99, "result": "ok"}]}
    for module in modules:
        with open(f"{folder}/result-{module}.json", "w") as file:
            json.dump({"result": "ok", "dents": 0, "details": [detail] * SCREENSHOTS}, file)
    with open(f"{folder}/test_order.json", "w") as file:
        json.dump([{"name": module, "category": "c", "flags": {}, "script": "s"} for module in modules], file)
    with open(f"{WORK}/{name}/autoinst-status.json", "w") as file:
        json.dump({"status": "finished", "current_test": None, "test_execution_paused": 0}, file)
    return [folder]


def run(command):
    """Seconds, CPU seconds, MiB."""
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(output[0]), float(output[1]), int(output[2]) / 1024


def row(title, what, name, paths, *options):
    agent, reference = [], []
    for _ in range(RUNS):
        agent.append(run([AGENT, what, url, f"{WORK}/{name}", *options]))
        reference.append(run([REFERENCE, what, url, *paths]))
    for index, unit in enumerate(["s", "CPU s", "MiB"]):
        ours, theirs = (statistics.median(times[index] for times in side) for side in (agent, reference))
        print(f"{title + ', ' + unit:34}{ours:10.3f}{theirs:12.3f}{theirs / ours:8.1f}", flush=True)


deadline = time.monotonic() + 30
while not (url := open(f"{WORK}/url").read().strip()):
    if time.monotonic() > deadline:
        sys.exit("the web UI does not start")
    time.sleep(0.05)
print(f"{'':34}{'agent':>10}{'reference':>12}{'ratio':>8}")
many = logs("many", FILES)
row(f"{FILES} files of 50 KiB", "files", "many", many)
row("the same, 16 at a time", "files", "many", many, "16")
row("302 files of 50 KiB", "files", "some", logs("some", 302))
row(f"an asset of {ASSET} MiB", "asset", "asset", asset("asset", ASSET))
row(f"results of {MODULES} modules", "results", "results", results("results"))
