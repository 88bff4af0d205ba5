# What the scripts of a real openQA share (sourced, not run).
#   E2E_STATE      everything it writes: database, results, pools, logs   (/var/tmp/worker-agent-openqa)
#   E2E_PORT       the web UI as workers and browsers see it; +2 also     (8280)
#   E2E_BASE_PORT  web UI, websockets, live handler, scheduler, cache service: +0 to +4  (9726)
#   E2E_INSTANCE   the first worker's instance number; it decides its ports  (41)
# A second openQA at the same time needs other values of all four. Each of these scripts takes, before its other arguments,
#   --openqa 4.6|trixie|sid  the openQA and the worker of that Debian suite, in a root of its own: scripts/openqa/debian
# with values of its own for all four.
# shellcheck shell=bash disable=SC2034
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
[ "${1:-}" != --openqa ] || exec "$root/scripts/openqa/debian" "${2:?SUITE is missing}" "$(realpath "$0")" "${@:3}"

# As docs/differences.md has them.
suite=${E2E_SUITE:-$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)}
suite=${suite/bookworm/4.6}
E2E_STATE=${E2E_STATE:-/var/tmp/worker-agent-openqa}
E2E_PORT=${E2E_PORT:-8280}
E2E_BASE_PORT=${E2E_BASE_PORT:-9726}
E2E_INSTANCE=${E2E_INSTANCE:-41}
url=http://127.0.0.1:$E2E_PORT
data=$root/Tests/openqa                     # test distribution, guest, nginx's configuration
postgres_bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
openqa_scripts=/usr/share/openqa/script
web_user=geekotest                          # Debian's openqa runs as this user
pids=$E2E_STATE/run
logs=$E2E_STATE/log
etc=$E2E_STATE/etc
project=$E2E_STATE/openqa                   # openQA's project directory: OPENQA_BASEDIR/openqa
cache=$E2E_STATE/cache                      # of the cache service, if `up` has started it
postgres_data=$E2E_STATE/postgres/data
postgres_socket=$E2E_STATE/postgres/socket

# What is built on one Debian does not start on another: libraries have other versions. Its packages were fetched outside.
build_in_suite() { # -> the agent's path
  local swift_build=(swift build --package-path "$root" --scratch-path "$root/.build-$E2E_SUITE" --disable-automatic-resolution)
  local program
  for program in "${programs[@]}"; do "${swift_build[@]}" --product "$program" >&2; done
  echo "$root/.build-$E2E_SUITE/debug/worker-agent"
}

need_root() { [ "$(id -u)" = 0 ] || die "run as root: openQA's services run as users of their own"; }
need_up() { [ -n "$(service_pid nginx)" ] || die "openQA is not up, run scripts/openqa/up"; }

# The caller's environment must not reach openQA's Perl.
openqa_environment() {
  export OPENQA_BASEDIR=$E2E_STATE OPENQA_CONFIG=$etc OPENQA_BASE_PORT=$E2E_BASE_PORT HOME=$E2E_STATE/home
  export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin no_proxy='*' NO_PROXY='*'
  # The tables that this openQA can make: sid's packages have had a program of one date with the tables of another.
  OPENQA_SCHEMA_VERSION_OVERRIDE=$(find /usr/share/openqa/dbicdh/PostgreSQL/deploy -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n | tail -n 1)
  export OPENQA_SCHEMA_VERSION_OVERRIDE
  unset PERL5OPT PERL5LIB MOJO_LISTEN MOJO_MODE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
}

as_user() { # USER COMMAND...
  local user=$1
  shift
  (cd / && exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@" 8>&- 9>&-)
}

sql() { # as the web UI's database user
  "$postgres_bin/psql" -h "$postgres_socket" -U "$web_user" -d openqa -qAt -v ON_ERROR_STOP=1 "$@"
}

credentials() { read -r key secret <"$etc/credentials"; }

api() { # METHOD PATH [PARAMETER=VALUE...]: a REST call as administrator
  credentials
  openqa-cli api --host "$url" --apikey "$key" --apisecret "$secret" -X "$@"
}

# Services: each in a session of its own, recorded as "pid start-time" so that a recycled pid is never signalled.
state_and_start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f1,20; } # PID
start_time() { state_and_start_time "$1" | cut -d' ' -f2; } # PID
service_pid() { # NAME -> its pid, or nothing if it doesn't run
  local pid started now
  [ -s "$pids/$1.pid" ] || return 0
  read -r pid started <"$pids/$1.pid"
  # Read once: what has ended may be gone in the next moment.
  now=$(state_and_start_time "$pid")
  if [ "${now#* }" = "$started" ] && [ "${now% *}" != Z ]; then echo "$pid"; fi
}

service_start() { # NAME USER COMMAND...
  local name=$1 user=$2 pid log=$logs/$1.log prefix=()
  shift 2
  if [ -n "$(service_pid "$name")" ]; then return 0; fi
  [ "$user" = root ] || prefix=(setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups)
  : >>"$log"
  chown "$user" "$log"
  (cd / && exec setsid "${prefix[@]}" "$@" </dev/null >>"$log" 2>&1 8>&- 9>&-) &
  pid=$!
  echo "$pid $(start_time "$pid")" >"$pids/$name.pid"
  say "started $name (pid $pid)"
}

service_stop() { # NAME [SIGNAL [SECONDS]]: then SIGKILL to what is left of its session
  local name=$1 signal=${2:-TERM} pid rest deadline=$((SECONDS + ${3:-15}))
  pid=$(service_pid "$name")
  if [ -n "$pid" ]; then
    kill "-$signal" "$pid" 2>/dev/null || true
    while [ -n "$(service_pid "$name")" ] && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
    rest=$(ps -o pid= --sid "$pid" || true)
    # shellcheck disable=SC2086
    [ -z "$rest" ] || kill -KILL $rest 2>/dev/null || true
    say "stopped $name (pid $pid)"
  fi
  rm -f "$pids/$name.pid"
}

wait_until() { # SECONDS COMMAND...: until the command succeeds
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.2
  done
}
answers() { curl -s -o /dev/null --max-time 2 "$1"; }

# Lines for `worker_configure`: assets and tests come through the cache service.
cache_settings=("CACHEDIRECTORY = $cache" "[$url]" "TESTPOOLSERVER = $project/share/tests")

# Workers. `worker_configure N CLASS [LINE...]` writes workers.ini and client.conf; the LINEs go into [global], at its end.
worker_name() { echo "worker-$1"; }
worker_configure() {
  local n=$1 class=$2 config=$E2E_STATE/worker-$1 line
  shift 2
  mkdir -p "$config" "$project/pool/$n"
  {
    printf '%s\n' '[global]' "WORKER_CLASS = $class" 'WORKER_HOSTNAME = 127.0.0.1' 'LOG_LEVEL = debug'
    # However loaded and full the machine is; a reference worker has these as a job's settings only if they are configured
    # (of 2026 the first one in any case).
    printf '%s\n' 'CRITICAL_LOAD_AVG_THRESHOLD = 0' 'POOL_MIN_FREE_GB = 0'
    # Assets by upload, not by path: that is what a worker on another host does.
    printf '%s\n' "$@" | grep -q '^LOCAL_UPLOAD' || echo 'LOCAL_UPLOAD = 0'
    printf '%s\n' "$@" | grep -q '^HOST' || echo "HOST = $url"
    for line in "$@"; do echo "$line"; done
  } >"$config/workers.ini"
  credentials
  (umask 077 && printf '[127.0.0.1]\nkey = %s\nsecret = %s\n' "$key" "$secret" >"$config/client.conf")
}

# `worker_start N COMMAND...` appends the flags that both workers know. E2E_WORKER marks every process of the worker. Its
# OPENQA_BASEDIR is $worker_base, if that is set.
worker_mark() { echo "$E2E_STATE:$1"; }
worker_start() {
  local n=$1
  shift
  openqa_environment
  OPENQA_BASEDIR=${worker_base:-$E2E_STATE} OPENQA_CONFIG=$E2E_STATE/worker-$n E2E_WORKER=$(worker_mark "$n") \
    service_start "$(worker_name "$n")" root "$@" --instance "$n" --verbose
}
reference_worker=("$openqa_scripts/worker")

worker_stop() { # and what it left
  local pid rest
  service_stop "$(worker_name "$1")" TERM 60
  worker_processes "$1" | while read -r pid rest; do
    say "killing what worker $1 left: $pid $rest"
    kill -KILL "$pid" 2>/dev/null || true
  done
}

# worker_status N -> idle, running, broken, dead or nothing, as the web UI has it. Of a worker that quits without having
# had a job since it was connected, it writes only half of that: the error, not the time.
worker_status() {
  { curl -sf "$url/api/v1/workers" || echo '{"workers": []}'; } | python3 -c '
import json, sys
for worker in json.load(sys.stdin)["workers"]:
    if worker["instance"] != int(sys.argv[1]): continue
    gone = not worker["connected"] or (worker["error"] or "").startswith("graceful disconnect")
    print("dead" if gone else worker["status"])' "$1"
}
worker_is() { [ "$(worker_status "$1")" = "$2" ]; }

# Processes that a worker left: those that carry its mark or work in its pool, one "PID COMMAND" a line, itself not.
worker_processes() {
  local n=$1 own pid
  own=$(service_pid "$(worker_name "$n")")
  {
    grep -lszxF "E2E_WORKER=$(worker_mark "$n")" /proc/[0-9]*/environ || true
    find /proc/[0-9]* -maxdepth 1 -name cwd -lname "$project/pool/$n*" 2>/dev/null || true
  } | cut -d/ -f3 | sort -nu | while read -r pid; do
    if [ "$pid" = "${own:-0}" ] || [ "$pid" = $$ ]; then continue; fi
    echo "$pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || true)"
  done
}
worker_has_no_processes() { [ -z "$(worker_processes "$1")" ]; }
