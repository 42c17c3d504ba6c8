#!/usr/bin/env bash
# Builds the native addon with the address and undefined-behaviour sanitizers and runs its tests with that build.
# Fails on a failing test, on any error report, and on a leak that the addon allocated (Node's own are not ours).
# The build goes to a scratch folder: build/Release stays as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch=$(mktemp -d "${TMPDIR:-/tmp}/rproc-gpio-sanitize.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cc=${CC:-gcc}

node_headers() {
  local version folder
  version=$(node -p 'process.versions.node')
  for folder in "${npm_config_nodedir:-}/include/node" "$(dirname "$(node -p process.execPath)")/../include/node" \
    "$HOME/.cache/node-gyp/$version/include/node" /usr/include/node; do
    if [ -f "$folder/node_api.h" ]; then
      echo "$folder"
      return
    fi
  done
  echo "native-sanitize: no node_api.h for Node $version; run npm install first" >&2
  return 1
}
headers=$(node_headers)
libasan=$("$cc" -print-file-name=libasan.so)
if [ ! -e "$libasan" ]; then
  echo "native-sanitize: $cc has no libasan" >&2
  exit 1
fi

addon=$scratch/rproc_gpio.node
# nodelete: Node unloads addons when it ends, and a leak's frames would no longer have names.
set -x
"$cc" -std=c11 -Wall -Wextra -Wunused-parameter -Wshadow -Werror -O1 -g -fPIC -shared -fvisibility=hidden \
  -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -Wl,-z,nodelete \
  -D_GNU_SOURCE -DNAPI_VERSION=8 -I"$headers" -o "$addon" native/*.c
set +x

# Reports go to files, one a process: test runners swallow the output of their workers. Exit code 0 for leaks, because
# Node ends with some of its own; the files tell whose they are.
run() {
  echo "+ (sanitized) $*"
  RPROC_GPIO_ADDON=$addon LD_PRELOAD=$libasan \
    ASAN_OPTIONS="log_path=$scratch/report:detect_leaks=$leaks:exitcode=$exit_code:detect_odr_violation=0:alloc_dealloc_mismatch=0" \
    LSAN_OPTIONS="log_threads=0:max_leaks=0" \
    UBSAN_OPTIONS="log_path=$scratch/report:print_stacktrace=1" \
    "$@" || findings=1
}

findings=0
leaks=0 exit_code=99
run node node_modules/vitest/vitest.mjs run test/native.test.ts test/native-poll.test.ts test/native/sigbus.test.ts
leaks=1 exit_code=0
for fixture in collected uncaught; do
  run node --expose-gc --import tsx "test/native/$fixture.ts"
done

# One file a process; a leak is a paragraph. Frame 0 is the allocator: the addon's leaks have frame 1 in the addon.
addon_leaks='BEGIN { RS = ""; none = 1 }
  /leak of/ && /#1 0x[0-9a-f]+ [^\n]*(native\/[a-z_]+\.c:|rproc_gpio\.node)/ { print; none = 0 }
  END { exit none }'
for report in "$scratch"/report.*; do
  [ -e "$report" ] || continue
  if grep -qE 'LeakSanitizer has encountered a fatal error' "$report"; then
    echo "native-sanitize: leaks could not be looked for (ptrace is not allowed here):" >&2
    cat "$report" >&2
    findings=1
  elif grep -qE 'ERROR: AddressSanitizer|runtime error:' "$report"; then
    cat "$report" >&2
    findings=1
  elif awk "$addon_leaks" "$report" >&2; then
    findings=1
  fi
done
if [ "$findings" -ne 0 ]; then
  echo 'native-sanitize: a test failed or a sanitizer found something (above)' >&2
  exit 1
fi
echo 'native-sanitize: no finding'
