# Sourced by the scripts here: finds a clang with libFuzzer and its tools, and Node's headers.
export LC_ALL=C
native_fuzz_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)

# The newest of the versioned names, else the plain one.
newest() {
  local found
  found=$(compgen -c "$1-" | grep -E "^$1-[0-9]+$" | sort -t- -k2 -n | tail -n 1 || true)
  if [ -n "$found" ]; then command -v "$found"; else command -v "$1" || true; fi
}

has_libfuzzer() {
  local clang=$1 file
  [ -n "$clang" ] || return 1
  file=$("$clang" -print-file-name=libclang_rt.fuzzer-"$(uname -m)".a)
  [ -e "$file" ] || compgen -G "$("$clang" -print-resource-dir)/lib/*/libclang_rt.fuzzer*.a" >/dev/null
}

node_headers() {
  local version folder
  version=$(node -p 'process.versions.node')
  for folder in "${npm_config_nodedir:-}/include/node" "$(dirname "$(node -p process.execPath)")/../include/node" \
    "$HOME/.cache/node-gyp/$version/include/node" /usr/include/node; do
    if [ -f "$folder/node_api.h" ] && [ -f "$folder/uv.h" ]; then
      echo "$folder"
      return
    fi
  done
  return 1
}

# Sets CLANG and NODE_HEADERS, or says what is missing and ends with 2.
require_toolchain() {
  CLANG=${CLANG:-$(newest clang)}
  if ! has_libfuzzer "$CLANG"; then
    echo 'native fuzz: no clang with libFuzzer here; run test/fuzz/native/setup.sh first' >&2
    exit 2
  fi
  if ! NODE_HEADERS=$(node_headers); then
    echo "native fuzz: no node_api.h for Node $(node -p process.version); run npm install first" >&2
    exit 2
  fi
}

# Builds every target into $1; what is up to date stays. Further arguments go to make.
build_targets() {
  local out=$1
  shift
  mkdir -p "$out"
  if ! make --silent -f "$native_fuzz_root/test/fuzz/native/Makefile" -j "$(nproc)" CLANG="$CLANG" OUT="$out" \
    NODE_HEADERS="$NODE_HEADERS" "$@" >"$out/build.log" 2>&1; then
    cat "$out/build.log" >&2
    echo 'native fuzz: the targets do not compile (above)' >&2
    exit 2
  fi
}

# A folder a compiler, so that another one does not link the first one's objects.
build_folder() {
  echo "$native_fuzz_root/build/fuzz/native-$("$CLANG" -dumpversion)$1"
}

list_targets() {
  make --silent -f "$native_fuzz_root/test/fuzz/native/Makefile" OUT=. CLANG=clang list
}
