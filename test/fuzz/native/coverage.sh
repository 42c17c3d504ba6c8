#!/usr/bin/env bash
# coverage.sh [CORPUS_FOLDER]: prints which lines of native/*.c and of the firmware the kept corpus reaches, and that of
# CORPUS_FOLDER/<target>/ if given (the first folder of a libFuzzer run).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/toolchain.sh"
require_toolchain
version=$("$CLANG" -dumpversion)
llvm_cov=$(command -v "llvm-cov-${version%%.*}" || newest llvm-cov)
llvm_profdata=$(command -v "llvm-profdata-${version%%.*}" || newest llvm-profdata)
if [ -z "$llvm_cov" ] || [ -z "$llvm_profdata" ]; then
  echo 'native fuzz: llvm-cov is missing; run test/fuzz/native/setup.sh' >&2
  exit 2
fi
out=$(build_folder -coverage)
build_targets "$out" COVERAGE=1
scratch=$(mktemp -d "${TMPDIR:-/tmp}/rproc-gpio-fuzz.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

objects=()
for target in $(list_targets); do
  folders=()
  for folder in "$here/corpus/$target" "${1:-$scratch/none}/$target"; do
    [ ! -d "$folder" ] || folders+=("$folder")
  done
  LLVM_PROFILE_FILE=$scratch/$target.profraw "$out/$target" -runs=0 "${folders[@]}" >"$scratch/$target.log" 2>&1 || {
    tail -n 40 "$scratch/$target.log" >&2
    exit 1
  }
  objects+=(-object "$out/$target")
done
"$llvm_profdata" merge -o "$scratch/all.profdata" "$scratch"/*.profraw
"$llvm_cov" report "${objects[@]:1}" -instr-profile="$scratch/all.profdata" \
  -ignore-filename-regex='test/fuzz|host/main.c|host/host_hub.c' |
  awk 'NR == 1 || NF >= 10 { printf "%-60s %8s %8s %10s\n", $1, NR == 1 ? "lines" : $8, NR == 1 ? "missed" : $9, NR == 1 ? "covered" : $10 }'
