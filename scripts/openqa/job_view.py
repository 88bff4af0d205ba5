"""What a web UI shows and stores of a finished job, reduced to what does not depend on time and place."""

import glob
import json
import os
import pwd
import re
import stat
import struct
import sys
import urllib.error
import urllib.request
import zlib

import job_rows

STATE = os.environ.get("E2E_STATE", "/var/tmp/worker-agent-openqa")
URL = f"http://127.0.0.1:{os.environ.get('E2E_PORT', '8280')}"
RESULTS = f"{STATE}/openqa/testresults"
ASSETS = f"{STATE}/openqa/share/factory"

# Settings that name the job, the worker or a moment.
OWN_SETTINGS = {
    "JOBTOKEN", "LAB_STAMP", "NAME", "QEMUPORT", "VNC", "WORKER_CLASS", "WORKER_ID", "WORKER_INSTANCE",
    "_PRIORITY_EXPLANATION",
}
# Logs that differ from run to run of the same worker, beyond what `normal` hides.
VARYING_FILES = re.compile(r"(\.ogv|\.vtt|-log\.txt|/?vars\.json|details-.*\.json)$")


def normal(text, job):
    """`text` without the job's name and the stamp in its settings, which the test code types and writes."""
    text = text.replace(job["settings"]["NAME"], "JOB")
    stamp = job["settings"].get("LAB_STAMP")
    return text.replace(stamp, "STAMP") if stamp else text


def png_size(path):
    """'WIDTHxHEIGHT' of a PNG that can be decoded, else what is wrong with it."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return "not a PNG"
    offset, pixels, header = 8, b"", None
    while offset + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[offset:offset + 8])
        chunk = data[offset + 8:offset + 8 + length]
        if zlib.crc32(kind + chunk) != struct.unpack(">I", data[offset + 8 + length:offset + 12 + length] or b"\0\0\0\0")[0]:
            return f"bad checksum of {kind.decode('latin1')}"
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", chunk)
        elif kind == b"IDAT":
            pixels += chunk
        offset += 12 + length
    if header is None:
        return "no header"
    width, height, depth, color, _, _, interlace = header
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    try:
        size = len(zlib.decompress(pixels))
    except zlib.error as error:
        return str(error)
    if not interlace and size != height * (1 + (width * bits + 7) // 8):
        return f"{size} bytes of pixels"
    return f"{width}x{height}"


def step(detail):
    """One step of a module as a short text: what kind it is and its result."""
    what = "text " + detail.get("title", "") if "text" in detail else "screenshot"
    if detail.get("needle"):
        what = "needle " + detail["needle"]
    elif detail.get("needles"):
        what = "candidates " + ",".join(sorted(needle["name"] for needle in detail["needles"]))
    return f"{what}: {detail.get('result')}"


def notes(path):
    """The worker's own lines in autoinst-log.txt, without their times and numbers."""
    found = []
    for line in open(path, errors="replace"):
        match = re.match(r"\[[^\]]*\] \[(\w+)\] (?:\[pid:\d+\] )?(.*)", line)
        # What the backend logs is coloured.
        if not match or line.startswith("\x1b"):
            continue
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", match[2])
        text = re.sub(r"(Running on [^ ]+:)\d+", r"\1N", text)
        if re.match(r"\+\+\+|Running on|Isotovideo exit|End time|Result:|Uploading", text):
            found.append(f"[{match[1]}] {text}")
    return found


def mode(path):
    """Kind, permissions and owner of a file, as `ls -l` has them."""
    status = os.lstat(path)
    return f"{stat.filemode(status.st_mode)} {pwd.getpwuid(status.st_uid).pw_name}"


# What the API says of times, numbers, images' sums and similarity, and what is compared under a label of its own.
VARYING_KEYS = re.compile(
    r"id|.*_id|t_.*|.*_at|md5.*|frametime|error|execution_time|NAME|LAB_STAMP|WORKER_CLASS|result_size|priority|_PRIORITY_EXPLANATION|"
    r"children|parents|has_parents|parents_ok|modules|text|text_data|reason|logs|ulogs|assets")


def flat(value, job, path=""):
    """path → value of all that an answer of the API says, without what depends on time and place."""
    if isinstance(value, dict):
        parts = [(f"{path}.{name}" if path else name, part) for name, part in value.items() if not VARYING_KEYS.fullmatch(name)]
    elif isinstance(value, list):
        parts = [(f"{path}[{number}]", part) for number, part in enumerate(value)]
    else:
        if isinstance(value, str):
            value = normal(value, job).replace(f"{job['id']:08d}", "ID").replace(f"/tests/{job['id']}", "/tests/ID")
        return {path: value}
    return {key: leaf for inner, part in parts for key, leaf in flat(part, job, inner).items()}


def answer(url, job_id, view=""):
    try:
        with urllib.request.urlopen(f"{url}/api/v1/jobs/{job_id}{view}") as response:
            return json.load(response)["job"]
    except urllib.error.URLError as error:
        sys.exit(f"no job {job_id} at {url}: {error}")


def load(job_id, url=URL, results=RESULTS, database=job_rows.DATABASE, assets=ASSETS):
    """A dictionary, label → value, of the job as the web UI at `url` has it, with what its `database` and its directories of
    `results` and `assets` store."""
    job = answer(url, job_id, "/details")
    found = glob.glob(f"{glob.escape(results)}/*/{int(job_id):08d}-*")
    directory = found[0] if found else None
    files = {}
    for folder, _, names in os.walk(directory or os.devnull):
        for name in names:
            path = os.path.join(folder, name)
            files[os.path.relpath(path, directory)] = path
    images = {name: path for name, path in files.items() if name.endswith(".png")}
    dangling = sorted(name for name, path in images.items() if not os.path.exists(path))
    sizes = {name: png_size(path) for name, path in images.items() if name not in dangling}
    details = [detail for module in job["testresults"] for detail in module.get("details") or []]
    shown = [detail["screenshot"] for detail in details if detail.get("screenshot")]
    others = {name: path for name, path in files.items() if name not in images}
    stored_assets = [
        f"{assets}/{kind}/{name}" for kind, names in (job.get("assets") or {}).items() for name in names
        if os.path.exists(f"{assets}/{kind}/{name}")]
    targets = {os.path.realpath(path) for name, path in images.items() if name not in dangling}
    linked = {f"{detail['md5_dirname']}/{detail['md5_basename']}" for detail in details if detail.get("md5_dirname")}
    rows = job_rows.load(job_id, job["settings"]["NAME"], database)
    images_linked = set(rows.pop("images linked"))

    view = {
        "state": job["state"],
        "result": job["result"],
        "reason": job.get("reason"),
        "modules": [module["name"] for module in job["testresults"]],
    }
    for module in job["testresults"]:
        flags = [flag for flag in ("fatal", "important", "milestone", "always_rollback") if module.get(flag)]
        view[f"module {module['name']}"] = " ".join([str(module.get("category")), module["result"], *flags])
        view[f"steps of {module['name']}"] = [step(detail) for detail in module.get("details") or []]
    view |= {
        "screenshots shown": len(shown),
        "screenshots stored": sum(not name.startswith(".thumbs/") for name in images),
        "thumbnails stored": sum(name.startswith(".thumbs/") for name in images),
        "screenshots missing": sorted({name for name in shown if name not in images}),
        "thumbnails missing": sorted({name for name in shown if f".thumbs/{name}" not in images}),
        "dangling links": dangling,
        "screenshots not linked": sorted(linked - images_linked),
        "linked, but not shown": sorted(images_linked - linked),
        "sizes of screenshots": sorted({size for name, size in sizes.items() if not name.startswith(".thumbs/")}),
        "sizes of thumbnails": sorted({size for name, size in sizes.items() if name.startswith(".thumbs/")}),
        "texts": {detail["text"]: normal(detail.get("text_data") or "", job) for detail in details if "text" in detail},
        "logs": sorted(job.get("logs") or []),
        "ulogs": sorted(job.get("ulogs") or []),
        # A private asset is named after its job.
        "assets": sorted(
            re.sub(r"^\d{8}-", "JOB-", f"{name}") + f" ({kind})"
            for kind, names in (job.get("assets") or {}).items() for name in names
        ),
        "files": sorted(others),
        # A web UI keeps what has come with more than 256 KiB with other permissions, and a video may be either.
        "modes": {name: mode(path) for name, path in others.items() if not name.endswith(".ogv")},
        "modes of images": sorted({mode(path) for path in [*images.values(), *targets]}),
        "modes of assets": {re.sub(r"/\d{8}-", "/JOB-", path.removeprefix(assets)): f"{mode(path)} {os.path.getsize(path)}"
                            for path in stored_assets},
        "empty files": sorted(
            name for name, path in (images | others).items()
            if name not in dangling and not name.endswith(".ogv") and not os.path.getsize(path)),
        "contents": {
            name: normal(open(path, encoding="latin1").read(), job)
            for name, path in others.items() if not VARYING_FILES.search(name)
        },
    }
    view |= rows
    view["API"] = flat(answer(url, job_id), job)
    view["API, details"] = flat(job, job)
    if "vars.json" in files:
        settings = json.load(open(files["vars.json"]))
        view["settings"] = {
            name: repr(value) for name, value in settings.items() if name not in OWN_SETTINGS
        }
    if "autoinst-log.txt" in files:
        view["worker's notes"] = notes(files["autoinst-log.txt"])
    return view


def without_progress(view):
    """`view` without what depends on when a job was ended from outside, and on which status came to the web UI before."""
    progress = re.compile(r"(module |steps of |screenshots |thumbnails |sizes of |texts$|modes of images|API, details)")
    of_modules = re.compile(rf"(details-)?({'|'.join(map(re.escape, view['modules']))})(-\d+)?\.(json|txt)$|serial0\.txt$")
    view = {label: value for label, value in view.items() if not progress.match(label)}
    view["files"] = [name for name in view["files"] if name == "serial0.txt" or not of_modules.match(name)]
    for label in ("contents", "modes"):
        view[label] = {name: text for name, text in view[label].items() if not of_modules.match(name)}
    counts = re.compile(r'"\w+_module_count": -?\d+, |"result": "\w+", (?="script")')
    for label in [label for label in view if label.startswith("rows of job")]:
        view[label] = [counts.sub("", row) for row in view[label]]
    # The reference worker doesn't always see the end of an isotovideo that it stops.
    if "worker's notes" in view:
        view["worker's notes"] = [note for note in view["worker's notes"] if "Isotovideo exit" not in note]
    return view


def brief(value):
    """A value on one line of a table."""
    if isinstance(value, dict):
        return f"{len(value)}"
    if isinstance(value, list):
        text = " ".join(map(str, value))
        return text if len(text) <= 40 else f"{len(value)}"
    return str(value)


def differences(a, b):
    """Lines that say how two values differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            if a.get(key) != b.get(key):
                yield f"{key}: {a.get(key, 'missing')!r} | {b.get(key, 'missing')!r}"
    elif isinstance(a, list) and isinstance(b, list):
        of_one = [f"only the first: {item}" for item in a if item not in b]
        of_one += [f"only the second: {item}" for item in b if item not in a]
        if of_one:
            yield from of_one
        elif len(a) == len(b):
            yield f"order: {a} | {b}"
        else:
            yield f"{len(a)} | {len(b)}"
    else:
        yield f"{a} | {b}"
