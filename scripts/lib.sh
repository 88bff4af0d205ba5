# What all scripts share (sourced, not run). The comment at a script's head is its --help.
# shellcheck shell=bash disable=SC2034
set -euo pipefail

# Everything that a worker runs on: what is built and installed together.
programs=(worker-agent job-supervisor)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { echo "[${0##*/}] $*" >&2; }
die() { echo "[${0##*/}] ERROR: $*" >&2; exit 1; }

# Prints the comment that a script begins with.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "$0"; exit 0; }
help_if_asked() { case " $* " in *' --help '* | *' -h '*) usage ;; esac; }

minutes() { echo "$(($1 / 60)) min $(($1 % 60)) s"; } # SECONDS
need_swift() { command -v swift >/dev/null || die "no swift in PATH: install Swift 6.3 or later first"; }
