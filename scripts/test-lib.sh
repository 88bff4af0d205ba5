# What scripts/test and scripts/test-sanitized share (sourced, not run).
# shellcheck shell=bash

# Some tests fail on a machine that is too busy. What fails gets one more try, alone, and stands in the output: mend it.
failed_suites() { # LOG -> a regular expression for 'swift test --filter'
  local suite
  grep -a '^✘ Suite .* failed after' "$1" | sed -E 's/^✘ Suite (.*) failed after.*/\1/' | sort -u | while IFS= read -r suite; do
    # shellcheck disable=SC2016
    case "$suite" in
      # A suite's name in words: the type is what follows it in its file.
      '"'*) grep -rlF --include='*.swift' "$suite" Tests | xargs -d '\n' awk -v name="$suite" '
          index($0, name) { found = 1 }
          found && match($0, /struct [A-Za-z0-9_]+/) { print substr($0, RSTART + 7, RLENGTH - 7); exit }' ;;
      *) echo "$suite" ;;
    esac
  done | sed 's/$/\//' | paste -s -d '|'
}
failures() { # LOG
  echo "-- what failed:"
  grep -a -e '^✘' -e 'error: ' "$1" | cut -c 1-400 | tail -n 40 || tail -n 40 "$1" | cut -c 1-400
}
