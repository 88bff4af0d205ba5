# What scripts/e2e does to workers and jobs (sourced, not run). Who sources it has set agent_command and report.
# shellcheck shell=bash disable=SC2034,SC2154
agent_n=$E2E_INSTANCE reference_n=$((E2E_INSTANCE + 1))
# A kind that needs other workers has these; the numbers of agents are even steps from the first.
more=("$((E2E_INSTANCE + 2))" "$((E2E_INSTANCE + 3))")

# The table. What differs and is in docs/differences.md is "listed".
row() { "$root/scripts/openqa/differences" "$suite" "$kind" "$report.seen" | tee -a "$report"; }
check() { # LABEL VALUE EXPECTED [MORE...]: a line of the table
  if [ "$2" = "$3" ]; then
    printf '%-7s %-36s %-42s %s\n' ok "${@:1:3}" | row
    return 0
  fi
  [ $# -gt 3 ] || set -- "$@" "$2 | $3"
  { printf '%-7s %-36s %-42s %s\n' FAILED "${@:1:3}" && printf '        %s\n' "${@:4}"; } | row
}
headline() { printf '\n        %-36s %-42s %s\n' "$@" | tee -a "$report"; }
wait_for() { # SECONDS WHAT COMMAND...: what the suite cannot go on without is reported, not fatal: the table shows the rest
  local limit=$1 what=$2
  shift 2
  wait_until "$limit" "$@" || say "$what: not within $limit s"
}

# Another openQA, for what a worker does that serves two: `second COMMAND...` runs a command, or one of these functions,
# with it in the place of the first. Workers reach it as "localhost", so that both have a section in client.conf.
second() {
  local -x E2E_STATE=$E2E_STATE-2 E2E_PORT=$((E2E_PORT + 100)) E2E_BASE_PORT=$((E2E_BASE_PORT + 100))
  local url pids logs etc project cache cache_settings postgres_data postgres_socket
  . "$root/scripts/openqa/lib.sh"
  "$@"
}
second_url=http://localhost:$((E2E_PORT + 100))
second_up() { second "$root/scripts/openqa/up"; }
second_down() {
  [ ! -d "$E2E_STATE-2" ] || second "$root/scripts/openqa/down" --purge
}
serve_two() { # N CLASS: configures a worker of both
  local key secret
  worker_configure "$1" "$2" "HOST = $url $second_url" "[$second_url]" "SHARE_DIRECTORY = $E2E_STATE-2/openqa/share"
  read -r key secret <"$E2E_STATE-2/etc/credentials"
  printf '[localhost]\nkey = %s\nsecret = %s\n' "$key" "$secret" >>"$E2E_STATE/worker-$1/client.conf"
}

# The other two workers, on a host that has no share; when it starts, the reference worker insists on one.
serve_from_cache() {
  service_stop slow-cache
  "$root/scripts/openqa/up" --cache
  worker_configure "${more[0]}" agent-cache "${cache_settings[@]}"
  worker_configure "${more[1]}" reference-cache "${cache_settings[@]}"
  worker_base=$E2E_STATE/cache-host
  mkdir -p "$worker_base/openqa/share"
  ln -sfn "$project/pool" "$worker_base/openqa/pool"
  start_workers "${more[1]}"
  [ "$agent" = reference ] || rmdir "$worker_base/openqa/share"
}

# Workers.
install_agent() { # [PATH]: where it can be replaced
  local folder program
  folder=$(dirname "${agent_command[0]}")
  mkdir -p "$folder"
  for program in worker-agent job-supervisor; do
    cp "$(dirname "$(realpath "${1:-$agent}")")/$program" "$folder/.$program.new"
    mv "$folder/.$program.new" "$folder/$program"
  done
}
replace_agent() { # [PATH], between jobs
  stop_workers "$agent_n"
  install_agent "$@"
  start_workers "$agent_n"
}
is_agent() { [ $((($1 - E2E_INSTANCE) % 2)) = 0 ]; }
start_workers() { # N...
  local n
  for n; do if is_agent "$n"; then worker_start "$n" "${agent_command[@]}"; else worker_start "$n" "${reference_worker[@]}"; fi; done
  for n; do
    wait_until 60 ready_or_gone "$n" || true
    worker_is "$n" idle || die "the web UI sees worker $n as '$(worker_status "$n")', not as idle"
  done
}
ready_or_gone() { worker_is "$1" idle || ! worker_runs "$1"; }
worker_runs() { [ -n "$(service_pid "$(worker_name "$1")")" ]; }
worker_is_gone() { ! worker_runs "$1"; }
left_in_pool() { find "$project/pool/$1" -mindepth 1 -maxdepth 1 ! -name '.*' -printf '%f\n' | sort | tr '\n' ' '; }
pool_is_clean() { [ -z "$(left_in_pool "$1")" ]; }

declare -A pid_of=() exit_status=()
signal_workers() { # SIGNAL N... -> pid_of[N]
  local signal=$1 n
  shift
  for n; do
    pid_of[$n]=$(service_pid "$(worker_name "$n")")
    [ -z "${pid_of[$n]}" ] || kill "-$signal" "${pid_of[$n]}"
  done
}
await_workers() { # SECONDS N... -> exit_status[N] of those that were signalled
  local limit=$1 n pid
  shift
  for n; do
    pid=${pid_of[$n]}
    if [ -z "$pid" ]; then exit_status[$n]='was not running'; continue; fi
    exit_status[$n]="still there after $limit s"
    ! wait_until "$limit" worker_is_gone "$n" || { wait "$pid" && exit_status[$n]=0 || exit_status[$n]=$?; }
  done
}
stop_workers() { signal_workers TERM "$@"; await_workers 45 "$@"; } # N... -> exit_status[N]

# Jobs; IDS are separated by blanks or ends of lines.
ids_list() { tr -s ' \n' ',' <<<"$*" | sed 's/,$//'; }
ended() { [ -z "$(sql -c "select id from jobs where id in ($(ids_list "$@")) and state != 'done'")" ]; }
outcome() { # IDS -> "done passed, done skipped", in their order
  sql -c "select string_agg(state || ' ' || result, ', ' order by array_position(array[$(ids_list "$@")], id::int))
    from jobs where id in ($(ids_list "$@"))"
}
# The results are complete when the web UI's background jobs are done.
in_background() { [ -n "$(sql -c "select id from minion_jobs where state in ('inactive', 'active') and delayed <= now() limit 1")" ]; }
background_done() { ! in_background; }
properties() { # N -> what the web UI knows of a worker, without what names it
  sql -c "select string_agg(key || '=' || case when length(value) < 40 then value else left(md5(value), 8) end, ' ' order by key)
    from worker_properties
    where key not in ('WORKER_CLASS', 'WORKER_TMPDIR', 'JOBTOKEN', 'CMD_SRV_URL')
    and worker_id = (select id from workers where instance = $1)"
}
clones() { # IDS -> "yes, no": which were scheduled anew
  sql -c "select string_agg(case when clone_id is null then 'no' else 'yes' end, ', '
    order by array_position(array[$(ids_list "$@")], id::int)) from jobs where id in ($(ids_list "$@"))"
}
backend_end() { # ID -> how the job and its backend have ended
  local log
  for log in "$project"/testresults/*/"$(printf %08d "$1")"-*/autoinst-log.txt; do
    echo "$(outcome "$1") $(sql -c "select reason from jobs where id = $1") $(grep -o 'Isotovideo exit.*' "$log")"
  done
}
seconds() { sql -c "select coalesce(sum(extract(epoch from t_finished - t_started)::int), 0) from jobs where id in ($(ids_list "$@"))"; }
in_module() { # NAME IDS: all have come to this module
  [ "$(sql -c "select count(*) from job_modules
    where name like '$1' and result = 'running' and job_id in ($(ids_list "${@:2}"))")" = $(($# - 1)) ]
}
running() { # IDS
  [ "$(sql -c "select count(*) from jobs where id in ($(ids_list "$@")) and state = 'running'")" = $# ]
}
taken() { [ -z "$(sql -c "select id from jobs where id in ($(ids_list "$@")) and state in ('scheduled', 'assigned')")" ]; }
nth() { sed -n "$1p" <<<"$2"; } # N IDS

# What openqa-cli takes half a second for.
cancel() { # IDS
  local id path now hash
  credentials
  for id; do
    path=/api/v1/jobs/$id/cancel now=$(date +%s)
    hash=$(printf '%s' "$path$now" | openssl dgst -sha1 -hmac "$secret" -r | cut -d' ' -f1)
    curl -sf -o /dev/null -X POST -H "X-API-Key: $key" -H "X-API-Microtime: $now" -H "X-API-Hash: $hash" "$url$path" ||
      say "job $id cannot be cancelled"
  done
}
cancel_clones() { # IDS: they shall not run when the workers are back
  local clones
  clones=$(sql -c "select clone_id from jobs where id in ($(ids_list "$@")) and clone_id is not null order by clone_id desc")
  for id in $clones; do cancel "$id"; done
}
cancel_uploading() { # ID: as soon as it is uploading, which does not last
  sql -c "do \$\$ begin
    for i in 1..6000 loop
      exit when exists (select from jobs where id = $1 and state = 'uploading');
      perform pg_sleep(0.02);
    end loop;
  end \$\$"
  cancel "$1"
}
command_to() { # N COMMAND ID: what the web UI's WebSocket service would send to a worker about a job
  local worker
  worker=$(sql -c "select id from workers where instance = $1")
  curl -sf -H 'Content-Type: application/json' -d "{\"worker_id\": $worker, \"msg\": \"$2\", \"job_id\": $3}" \
    "http://127.0.0.1:$((E2E_BASE_PORT + 1))/api/send_msg" | grep -q '"result":1' || say "$2 was not sent to worker $1"
}

# Those who look on. What they see is in a file of each worker, to be read with `seen N WORD`.
copy_folder() { # N: where the web UI keeps what the worker shows
  sql -c "select value from worker_properties where key = 'WORKER_TMPDIR'
    and worker_id = (select id from workers where instance = $1)"
}
look_on() { # N ID
  "$root/scripts/openqa/live-view" "$url" "$2" "$project/pool/$1" "$(copy_folder "$1")" >"$logs/seen-$1" ||
    say "nobody could look on at job $2"
}
develop() { # N ID
  as_user "$web_user" "$root/scripts/openqa/dev-session" "$url" "$2" >"$logs/seen-$1" || say "job $2 had no developer session"
}
seen() { sed -n "s/^$2 *//p" "$logs/seen-$1" | head -n 1; }
at_both() { # COMMAND IDS...
  local pid
  "$1" "$agent_n" "$2" &
  pid=$!
  # The first of two logins at once makes the user, and the other one fails.
  sleep 1
  "$1" "$reference_n" "$3" &
  wait $pid $!
}
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && b != "" && a + 0 < b + 0) }' && echo less || echo 'not less'; }
shown() { echo "$(seen "$1" shown) $(seen "$1" screens)" | awk '{ print $2 ? $1 / $2 : 0 }'; } # N -> part of the screens
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 >= b + 0) }' && echo 'as many' || echo fewer; }
half() { awk -v n="$1" 'BEGIN { print n / 2 }'; }
check_live() {
  # On a busy machine the web UI does not take them as fast as they come.
  check 'screens shown' "$(at_least "$(shown "$agent_n")" "$(shown "$reference_n")")" 'as many' \
    "$(seen "$agent_n" shown) of $(seen "$agent_n" screens), the reference: $(seen "$reference_n" shown) of $(seen "$reference_n" screens)"
  check 'seconds to the web UI' "$(less "$(seen "$agent_n" median)" "$(half "$(seen "$reference_n" median)")")" less \
    "$(seen "$agent_n" median), the reference: $(seen "$reference_n" median)"
  printf '%-7s %-36s %-42s %s\n' '' 'median, s' "$(seen "$agent_n" median)" "$(seen "$reference_n" median)" | row
  check 'live log' "$(seen "$agent_n" log)" whole
  check 'end of the live log' "$(seen "$agent_n" end)" whole "the reference: $(seen "$reference_n" end)"
  printf '%-7s %-36s %-42s %s\n' '' 'live log, bytes' "$(seen "$agent_n" bytes)" "$(seen "$reference_n" bytes)" | row
}
check_session() {
  local word
  for word in connected paused uploaded resumed closed; do
    check "session: $word" "$(seen "$agent_n" "$word")" "$(seen "$reference_n" "$word")"
  done
  # The reference tells it with its next period, which may come at once.
  check 'pause to uploaded' "$(less "$(seen "$agent_n" seconds)" 2)" less
  printf '%-7s %-36s %-42s %s\n' '' 'pause to uploaded, s' "$(seen "$agent_n" seconds)" "$(seen "$reference_n" seconds)" | row
}

# What happens to jobs while they run.
handed_over() { [[ $(readlink "/proc/$1/exe") != *deleted* ]]; }
midst() { case "${1#*-}" in hold | load) echo "${1#*-}" ;; *) echo % ;; esac }
happen() { # KIND IDS-OF-AGENT IDS-OF-REFERENCE
  local pid agent_job reference_job
  agent_job=$(nth 1 "$2") reference_job=$(nth 1 "$3")
  [ "$1" != chain-quit-2 ] || { agent_job=$(nth 2 "$2") reference_job=$(nth 2 "$3"); }
  case "$1" in
    kill-* | handover-* | *grade-*) wait_for 90 'the job in its midst' in_module "$(midst "$1")" "$agent_job" ;;
    cancel-setup) wait_for 60 'both jobs in set-up' taken "$agent_job" "$reference_job" ;;
    cancel-upload) ;;
    live*) wait_for 60 'both jobs running' running "$agent_job" "$reference_job" ;;
    parallel-cancel)
      wait_for 120 'the first jobs in mid-job' in_module serve "$agent_job" "$reference_job"
      wait_for 60 'the second jobs in mid-job' in_module wait_for_server "$(nth 2 "$2")" "$(nth 2 "$3")"
      ;;
    *) wait_for 120 'both jobs in mid-job' in_module hold "$agent_job" "$reference_job" ;;
  esac
  case "$1" in
    kill-* | chain-kill)
      kill -KILL "$(service_pid "$(worker_name "$agent_n")")"
      wait_for 30 "the end of the worker" worker_is_gone "$agent_n"
      worker_start "$agent_n" "${agent_command[@]}"
      ;;
    handover-* | chain-handover | *grade-*)
      pid=$(service_pid "$(worker_name "$agent_n")")
      case "$1" in
        downgrade-*) install_agent "$other" ;;
        *) install_agent ;;
      esac
      kill -USR2 "$pid"
      wait_for 10 'the handover' handed_over "$pid"
      ;;
    cancel | cancel-setup) cancel "$agent_job" "$reference_job" ;;
    cancel-upload)
      cancel_uploading "$agent_job" &
      pid=$!
      cancel_uploading "$reference_job" &
      wait $pid $!
      ;;
    obsolete | abort | command-quit)
      command_to "$agent_n" "${1#command-}" "$agent_job"
      command_to "$reference_n" "${1#command-}" "$reference_job"
      ;;
    quit | chain-quit-*) stop_workers "$agent_n" "$reference_n" ;;
    chain-cancel | parallel-cancel) cancel "$(nth 2 "$2")" "$(nth 2 "$3")" ;;
    chain-hup) signal_workers HUP "$agent_n" "$reference_n" ;;
    live*) at_both look_on "$agent_job" "$reference_job" ;;
    dev) at_both develop "$agent_job" "$reference_job" ;;
    outage)
      service_stop nginx
      sleep 30
      "$root/scripts/openqa/up"
      ;;
    webui-restart | chain-webui)
      service_stop webui
      [ "$1" = webui-restart ] || service_stop websockets
      "$root/scripts/openqa/up"
      ;;
  esac
}
