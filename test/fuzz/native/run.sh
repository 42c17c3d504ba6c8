#!/usr/bin/env bash
# run.sh [--seconds N] [--seed S] [--json] [--target=NAME] [--list]
# Builds the fuzz targets of the addon and the firmware and runs each for its share of N seconds (60 unless told). With
# 0 seconds only the kept corpus is run. Exit codes: 0 nothing found, 1 a find (its input is kept, and named), 2 cannot run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/toolchain.sh"

seconds=60 seed=1 json=false only= max_len=1024
usage() {
  sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2
  exit 2
}
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=${2:-} && shift ;;
    --seconds=*) seconds=${1#*=} ;;
    --seed) seed=${2:-} && shift ;;
    --seed=*) seed=${1#*=} ;;
    --json) json=true ;;
    --target) only=${2:-} && shift ;;
    --target=*) only=${1#*=} ;;
    --list) list_targets && exit 0 ;;
    *) usage ;;
  esac
  shift
done
[[ $seconds =~ ^[0-9]+$ && $seed =~ ^[0-9]+$ ]] || usage

mapfile -t targets < <(list_targets)
if [ -n "$only" ]; then
  if ! printf '%s\n' "${targets[@]}" | grep -qxF "$only"; then
    echo "native fuzz: no target $only; there are: ${targets[*]}" >&2
    exit 2
  fi
  targets=("$only")
fi
require_toolchain
out=$(build_folder '')
build_targets "$out"

# libFuzzer takes seed 0 for "any".
seed=$((seed % 4294967295 + 1))
share=$((seconds / ${#targets[@]}))
[ "$seconds" -eq 0 ] || [ "$share" -gt 0 ] || share=1
scratch=$(mktemp -d "${TMPDIR:-/tmp}/rproc-gpio-fuzz.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
kept=$native_fuzz_root/build/fuzz/finds
mkdir -p "$kept"
# A find's stack has names where llvm-symbolizer is.
symbolizer=$(newest llvm-symbolizer)
[ -z "$symbolizer" ] || export ASAN_SYMBOLIZER_PATH=$symbolizer UBSAN_SYMBOLIZER_PATH=$symbolizer

found=0
for target in "${targets[@]}"; do
  corpus=$here/corpus/$target
  mkdir -p "$scratch/$target"
  folders=("$scratch/$target")
  [ ! -d "$corpus" ] || folders+=("$corpus")
  limits=(-runs=0)
  [ "$share" -eq 0 ] || limits=("-max_total_time=$share")
  times >"$scratch/before" # not in a subshell, which has no children's times
  started=$(date +%s.%N)
  finds=0
  # New inputs go to the first folder only.
  "$out/$target" "${limits[@]}" "-seed=$seed" "-max_len=$max_len" -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 \
    -reload=0 "-artifact_prefix=$kept/$target-" "${folders[@]}" >"$scratch/$target.log" 2>&1 || finds=1
  ended=$(date +%s.%N)
  times >"$scratch/after"
  cpu=$(sed -s -n 2p "$scratch/before" "$scratch/after" | awk '
    function of(text, parts) { split(text, parts, /[ms]/); return parts[1] * 60 + parts[2] }
    { total[NR] = of($1) + of($2) } END { printf "%.2f", total[2] - total[1] }')
  took=$(awk -v a="$started" -v b="$ended" 'BEGIN { printf "%.2f", b - a }')
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$scratch/$target.log" | tail -n 1)
  # Of libFuzzer's own: edges of what is under test.
  coverage=$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$scratch/$target.log" | tail -n 1)
  if $json; then
    printf '{"target":"%s","executions":%d,"seconds":%s,"cpuSeconds":%s,"finds":%d,"coverage":%d}\n' \
      "$target" "${executions:-0}" "$took" "$cpu" "$finds" "${coverage:-0}"
  else
    printf '%-18s %9d executions %8s s %8s CPU s %5d edges %d finds\n' \
      "$target" "${executions:-0}" "$took" "$cpu" "${coverage:-0}" "$finds"
  fi
  if [ "$finds" -ne 0 ]; then
    found=1
    tail -n 60 "$scratch/$target.log" >&2
    input=$(sed -n 's/^.*Test unit written to \(.*\)$/\1/p' "$scratch/$target.log" | tail -n 1)
    echo "native fuzz: $target found something. To see it again:
  $out/$target ${input:-<the input that the corpus runs on to: see above>}
Once mended, keep the input as test/fuzz/native/corpus/$target/find-NAME." >&2
  fi
done
exit "$found"
