"""All rows of a web UI's database that belong to a job, reduced to what does not depend on time and place."""

import glob
import json
import os
import subprocess
import sys

STATE = os.environ.get("E2E_STATE", "/var/tmp/worker-agent-openqa")
DATABASE = f"host={STATE}/postgres/socket user=geekotest dbname=openqa"

# Every column that refers to a job, or to a row of which a job's row tells: table, column, table that is referred to.
REFERENCES = """
select conrelid::regclass as table, attname as column, confrelid::regclass as target
from pg_constraint join pg_attribute on attrelid = conrelid and attnum = conkey[1]
where contype = 'f'
"""
# What another row says of these instead of its number. Jobs upload what they have typed, so images differ.
NAMES = {
    "assets": "select id, type || '/' || name || ', ' || coalesce(size::text, 'no size') as name from assets",
    "users": "select id, username as name from users",
    "workers": "select id, 'a worker' as name from workers",
    "screenshots": "select id, filename as name from screenshots",
}
# What differs between two runs of the same worker: result_size sums up logs and images, and openQA 5 lowers the priority of
# a job when others like it have failed.
VARYING_COLUMNS = {"id", "result_size", "connection_id", "priority"}
# Settings that name the worker or a moment, and why the priority is as it is.
VARYING_SETTINGS = {"LAB_STAMP", "WORKER_CLASS", "_PRIORITY_EXPLANATION"}
# Tables that say which of all jobs was the last to use a thing.
LAST_USE = {("assets", "last_use_job_id"), ("needles", "last_matched_module_id"), ("needles", "last_seen_module_id")}


class Database:
    def __init__(self, connection):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"), key=lambda path: int(path.split("/")[4]))
        self.command = [found[-1] if found else "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", connection, "-c"]

    def query(self, text):
        """A list of rows, each a dictionary."""
        answer = subprocess.run(
            [*self.command, f"select coalesce(json_agg(rows), '[]') from ({text}) as rows"],
            capture_output=True, text=True, check=False)
        if answer.returncode:
            sys.exit(f"the database does not answer: {answer.stderr.strip()}")
        return json.loads(answer.stdout)


def load(job, name, connection=DATABASE):
    """A dictionary, label → list of rows as texts in an order of their own, of the job whose setting NAME is `name`."""
    database, job = Database(connection), int(job)
    references = database.query(REFERENCES)
    targets = {(reference["table"], reference["column"]): reference["target"] for reference in references}
    names = {table: {row["id"]: row["name"] for row in database.query(text)} for table, text in NAMES.items()}

    def reduced(table, row):
        """A row as a text without what depends on time and place."""
        found = {}
        for column, value in row.items():
            if column in VARYING_COLUMNS or column.startswith("t_") or column.endswith("_at"):
                continue
            target = targets.get((table, column))
            if value is not None and target == "jobs":
                value = "this job" if value == job else "another job"
            elif value is not None and target in names:
                value = names[target].get(value)
            elif value is not None and target:
                value = f"one of {target}"
            found[column] = plain(value)
        return json.dumps(found, ensure_ascii=False, sort_keys=True)

    def plain(value):
        """A value without the job's name and number."""
        if isinstance(value, str):
            return value.replace(name, "JOB").replace(f"{job:08d}", "ID")
        if isinstance(value, list):
            return ["ID" if item in (job, str(job)) else plain(item) for item in value]
        if isinstance(value, dict) and value and all(key.isdigit() for key in value):
            # Jobs and their clones.
            return sorted("ID" if key == str(job) else "another job" for key in value)
        if isinstance(value, dict):
            return {key: "ID" if key in ("id", "job_id") else plain(item)
                    for key, item in value.items() if key not in VARYING_SETTINGS}
        return value

    def rows(table, condition):
        return database.query(f"select * from {table} where {condition}")

    view = {}
    for table, column in [("jobs", "id"), *(key for key, target in targets.items() if target == "jobs")]:
        if (table, column) in LAST_USE or (table == "jobs" and column != "id"):
            continue
        found = rows(table, f"{column} = {job}")
        if table == "job_settings":
            found = [row for row in found if row["key"] not in VARYING_SETTINGS]
        view[f"rows of {table}" + (f", {column.removesuffix('_id')}" if column not in ("id", "job_id") else "")] = sorted(
            reduced(table, row) for row in found)
    # An image has a row for each time that a module with it was told.
    del view["rows of screenshot_links"]
    view["images linked"] = sorted(
        {names["screenshots"][row["screenshot_id"]] for row in rows("screenshot_links", f"job_id = {job}")})
    # These name the job in a text.
    view["rows of audit_events"] = sorted(
        f"{row['event']} by {names['users'].get(row['user_id'])}: {json.dumps(plain(data), sort_keys=True)}"
        for row in rows("audit_events", f"event_data like '%{job}%' and event not like 'worker%'")
        for data in [parsed(row["event_data"])] if tells_of(data, job))
    view["rows of minion_jobs"] = sorted(
        f"{row['task']}{json.dumps(plain(row['args']))}: {row['state']}, {json.dumps(plain(row['result']))}, "
        f"priority {row['priority']}, queue {row['queue']}, retries {row['retries']}"
        for row in rows("minion_jobs", f"args::text like '%{job}%'") if tells_of(row["args"], job))
    return view


def parsed(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def tells_of(data, job):
    """Whether the job is the first of `data`, or is what it calls its job."""
    if isinstance(data, list):
        return bool(data) and (data[0] in (job, str(job)) or tells_of(data[0], job))
    return isinstance(data, dict) and any(data.get(key) in (job, str(job)) for key in ("id", "job_id"))
