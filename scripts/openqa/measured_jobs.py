"""When things happened to jobs: from the logs of nginx, of the WebSocket tap and of the backend."""
import os
import re
import subprocess
import sys
import time


class Job:
    """Times in seconds; those of the web UI's answers are known to the millisecond."""

    def __init__(self):
        self.grabbed = self.accepted = self.began = self.ended = self.done = None
        self.backend_cpu = 0.0
        self.requests = []  # of the worker, for this job: begin, end, path

    @property
    def uploading(self):
        """The answer to the first status that was sent after the backend's end."""
        ends = [end for begin, end, path in self.sent_after_end() if path.endswith("/status")]
        return min(ends, default=None)

    @property
    def late_files(self):
        """How many files were sent after the backend's end."""
        return sum(path.endswith("/artefact") for _, _, path in self.sent_after_end())

    def sent_after_end(self):
        # What was on its way at the backend's end has begun before it.
        return [request for request in self.requests if request[0] >= self.ended - 0.002]

    def waited(self, begin, end):
        """For how many of these seconds at least one of the requests was at the web UI."""
        total, reached = 0.0, begin
        for first, last, _ in sorted(self.requests):
            first, last = max(first, reached), min(last, end)
            total += max(0.0, last - first)
            reached = max(reached, last)
        return total


class Jobs:
    """The jobs of a running openQA, as they come and go."""

    def __init__(self, state, seed_job):
        self.seed_job, self.jobs = seed_job, {}
        self.logs = []
        for name, take in [
            ("nginx-measure.log", self.take_request), ("websocket-tap.log", self.take_message),
            ("measure-backend.log", self.take_backend),
        ]:
            log = open(f"{state}/log/{name}", "a+")
            log.seek(0, os.SEEK_END)
            self.logs.append((log, take))

    def post(self, kind, worker_class, *settings):
        """Posts a job, or several in one request, and returns their numbers, parents first."""
        command = [self.seed_job, kind, f"WORKER_CLASS={worker_class}", *settings]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        return [int(number) for number in output.split()]

    def wait(self, numbers, limit=120):
        """Waits until the web UI has answered to the end of these jobs, and returns them."""
        deadline = time.monotonic() + limit
        while not all(self.job(number).done for number in numbers):
            if time.monotonic() > deadline:
                sys.exit(f"the jobs {numbers} do not end")
            time.sleep(0.1)
            for log, take in self.logs:
                for line in log:
                    take(*line.split())
        return [self.job(number) for number in numbers]

    def job(self, number):
        return self.jobs.setdefault(int(number), Job())

    def take_request(self, at, duration, method, path):
        if method == "POST" and (match := re.search(r"/jobs/(\d+)/", path)):
            job, end = self.job(match[1]), float(at)
            job.requests.append((end - float(duration), end, path))
            if path.endswith("/set_done"):
                job.done = end

    def take_message(self, at, kind, *numbers):
        for number in numbers:
            if kind.startswith("grab_job"):
                self.job(number).grabbed = float(at)
            elif kind == "accepted":
                self.job(number).accepted = float(at)

    def take_backend(self, at, event, number, *cpu):
        setattr(self.job(number), event, float(at))
        self.job(number).backend_cpu = sum(map(float, cpu))
