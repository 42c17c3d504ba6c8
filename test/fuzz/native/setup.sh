#!/usr/bin/env bash
# Installs what test/fuzz/native needs and that npm cannot give: clang with libFuzzer and the sanitizers, and llvm-cov.
# Root installs the Debian packages; anybody else is told the command that does, with exit code 2. Takes no time when
# nothing is missing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/toolchain.sh"

clang=${CLANG:-$(newest clang)}
if has_libfuzzer "$clang" && [ -n "$(newest llvm-cov)" ] && command -v make >/dev/null; then
  echo "native fuzz: $("$clang" --version | head -n 1) is there" >&2
  exit 0
fi

# Debian 12 has 14 by default, Debian 13 has 19: what the release's own `clang` depends on.
version=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
if [ -z "$version" ] && [ "$EUID" -eq 0 ]; then
  apt-get -qq update >&2
  version=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
fi
version=${version:-14}
packages=("clang-$version" "libclang-rt-$version-dev" "llvm-$version" libc6-dev make)

if [ "$EUID" -ne 0 ]; then
  echo "native fuzz: packages are missing; run this as root, then this script again:
  apt-get update && apt-get install --yes --no-install-recommends ${packages[*]}" >&2
  exit 2
fi
export DEBIAN_FRONTEND=noninteractive
# Package lists may be older than the archive: refresh them only when the first try fails on them.
if ! apt-get -qq install --yes --no-install-recommends "${packages[@]}" >&2; then
  apt-get -qq update >&2
  apt-get -qq install --yes --no-install-recommends "${packages[@]}" >&2
fi
has_libfuzzer "$(newest clang)" || {
  echo 'native fuzz: clang is installed, but its libFuzzer is not there' >&2
  exit 2
}
