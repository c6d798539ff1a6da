# shellcheck shell=bash
# Sourced by the scripts beside it: named and timed phases, and a job count that fits into memory.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

phase_names=()
phase_seconds=()

# phase NAME COMMAND...: runs the command, says what is done and how long it took; a failure ends the script.
phase() {
  local name=$1 start=$SECONDS status=0
  shift
  echo "==> $name"
  "$@" || status=$?
  phase_names+=("$name")
  phase_seconds+=($((SECONDS - start)))
  if [[ $status -ne 0 ]]; then
    echo "==> $name FAILED after $((SECONDS - start)) s (exit status $status)" >&2
    exit "$status"
  fi
}

# What each phase took, in one line.
print_phases() {
  local i
  printf '==> took'
  for i in "${!phase_names[@]}"; do
    printf ' | %s: %s s' "${phase_names[$i]}" "${phase_seconds[$i]}"
  done
  printf '\n'
}

# Compilers to run at once: one a core, but 1.2 GB of free memory for each, which a file with libtorch's headers needs.
# MIEN_JOBS overrules it.
build_jobs() {
  local cores memory_kb by_memory
  cores=$(nproc)
  memory_kb=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  by_memory=$((memory_kb / 1200000))
  if ((by_memory < 1)); then by_memory=1; fi
  echo "${MIEN_JOBS:-$((cores < by_memory ? cores : by_memory))}"
}

configure() { cmake --preset release; }
# build_targets [TARGET...]: all of them without arguments
build_targets() {
  if [[ $# -gt 0 ]]; then
    cmake --build build --parallel "$(build_jobs)" --target "$@"
  else
    cmake --build build --parallel "$(build_jobs)"
  fi
}
