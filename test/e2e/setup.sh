#!/usr/bin/env bash
# Prepares everything that test/e2e needs and that npm cannot give: Debian packages, a broker, QEMU 10, two guest kernels.
# Runs as often as one likes: it does only what is missing, and takes about a second when nothing is.
#
# Root installs the Debian packages; anybody else is told the command that does. All the rest goes to a cache outside
# the checkout, ${XDG_CACHE_HOME:-~/.cache}/rproc-gpio/e2e, which may be deleted at any time. The last step
# writes lab.env there (KEY=value lines), which is what test/e2e/lab/prerequisites.ts reads.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rproc-gpio/e2e
codename=bookworm

# The guest's tools, the initramfs, the firmware's compiler, MQTT clients, what makes certificates, the kernels' source and
# what building them takes. None of them starts a service.
packages=(
  gpiod busybox-static cpio gzip
  mosquitto-clients openssl
  gcc-arm-none-eabi gcc make libc6-dev
  linux-source-6.1 flex bison bc libelf-dev xz-utils patch
  seabios
)

say() { printf 'e2e setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

missing_packages() {
  local package installed
  # One call for all: dpkg-query takes 30 ms each time.
  installed=$(dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null | sed -n 's/ install ok installed$//p' || true)
  for package in "$@"; do
    grep -qxF "$package" <<<"$installed" || printf '%s\n' "$package"
  done
}

require_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    die "missing Debian packages; run this as root, then this script again:
  apt-get update && apt-get install --yes --no-install-recommends ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Package lists may be older than the archive: refresh them only when the first try fails on them.
  if ! apt-get -qq install --yes --no-install-recommends "${missing[@]}" >&2; then
    apt-get -qq update >&2
    apt-get -qq install --yes --no-install-recommends "${missing[@]}" >&2
  fi
}

# ---- QEMU 10: its vhost-user-gpio-pci offers VIRTIO_GPIO_F_IRQ, and its lm3s6965evb takes aux-ram-share; bookworm's 7.2 does neither.

qemu_major() { "$@" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\)\..*/\1/p'; }

# Prints one-line apt sources for the backports suite, on the mirrors that the machine's own sources name for the
# release (the security archive is another repository and has none), with the keys that they are signed by.
backports_sources() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ -r $file ]] || continue
    sed -n -E "s#^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]]+$codename[[:space:]].*#deb \1\2 $codename-backports main#p" "$file"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [[ -r $file ]] || continue
    awk -v suite="$codename" '
      function flush(  options, n, i, uri) {
        if (suites ~ ("(^| )" suite "( |$)") && types ~ /(^| )deb( |$)/ && tolower(enabled) != "no") {
          # A key written into the file itself (it begins with a BEGIN PGP line) cannot go into the one-line form.
          options = signedBy ~ /^\// ? "[signed-by=" signedBy "] " : ""
          n = split(uris, uri, " ")
          for (i = 1; i <= n; i++) print "deb " options uri[i] " " suite "-backports main"
        }
        types = suites = uris = signedBy = enabled = ""
      }
      /^[[:space:]]*$/ { flush(); next }
      /^#/ { next }
      /^[^ \t]/ { key = tolower(substr($0, 1, index($0, ":") - 1)); value = substr($0, index($0, ":") + 1) }
      /^[ \t]/ { value = $0 }
      {
        sub(/^[ \t]+/, "", value); sub(/[ \t]+$/, "", value)
        if (key == "types") types = types " " value
        else if (key == "suites") suites = suites " " value
        else if (key == "uris") uris = uris " " value
        else if (key == "enabled") enabled = value
        else if (key == "signed-by" && value != "") signedBy = signedBy == "" ? value : signedBy
      }
      END { flush() }' "$file"
  done
}

fetch_qemu() {
  local work apt sources
  sources=$(backports_sources | sort -u)
  [[ -n $sources ]] || die "no apt source for $codename in /etc/apt: QEMU 10 comes from $codename-backports on the same mirror.
Install qemu-system-arm and qemu-system-x86 of version 10 or later in another way; they are used when they are on the PATH"
  say "fetching QEMU 10 from $codename-backports"
  work=$(mktemp -d "$cache/qemu.XXXXXX")
  temporary+=("$work")
  mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/debs" "$work/root"
  printf '%s\n' "$sources" >"$work/sources.list"
  # The machine's own sources and lists stay as they are. The sandbox user could not enter a cache in root's home.
  apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o APT::Sandbox::User=
    -o APT::Get::List-Cleanup=false)
  "${apt[@]}" update >&2 || die "apt-get update of $codename-backports failed (sources: $sources)"
  (cd "$work/debs" && "${apt[@]}" download qemu-system-{arm,x86,common,data} >&2) ||
    die "apt-get download of qemu-system-{arm,x86,common,data} from $codename-backports failed"
  local deb
  for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$work/root"
    dpkg-deb -f "$deb" Depends >>"$work/root/depends"
  done
  rm -rf "$cache/qemu-10"
  mv -T "$work/root" "$cache/qemu-10"
  rm -rf "$work"
}

# The libraries among the dependencies of unpacked packages (their Depends fields on standard input): the first alternative
# of each, without its version. The rest is data and programs that we do not use.
libraries() { tr ',' '\n' | sed -E 's/^ +//; s/[ |(].*//; s/:any$//' | grep -E '^lib' | sort -u; }

prepare_qemu() {
  local system_arm system_x86
  system_arm=$(command -v qemu-system-arm || true)
  system_x86=$(command -v qemu-system-x86_64 || true)
  if [[ -n $system_arm && -n $system_x86 ]] &&
    (($(qemu_major "$system_arm") >= 10 && $(qemu_major "$system_x86") >= 10)); then
    qemu_arm=$system_arm qemu_x86=$system_x86 qemu_data=
    return
  fi
  [[ -e $cache/qemu-10/depends ]] || fetch_qemu
  qemu_arm=$cache/qemu-10/usr/bin/qemu-system-arm
  qemu_x86=$cache/qemu-10/usr/bin/qemu-system-x86_64
  qemu_data=$cache/qemu-10/usr/share/qemu:/usr/share/seabios:/usr/share/qemu
  local binary major
  for binary in "$qemu_arm" "$qemu_x86"; do
    major=$(qemu_major "$binary" || true)
    if [[ -z $major ]]; then
      local libraries
      mapfile -t libraries < <(libraries <"$cache/qemu-10/depends")
      require_packages "${libraries[@]}"
      major=$(qemu_major "$binary" || true)
    fi
    [[ -n $major ]] || die "$binary does not start: $(ldd "$binary" 2>&1 | grep 'not found' || "$binary" --version 2>&1)"
    ((major >= 10)) || die "$binary is version $major; 10 or later is needed. Remove $cache/qemu-10 and run this again"
  done
}

# ---- QEMU 7.2, bookworm's own, beside it: the last one whose vhost-user-gpio-pci takes a chardev with reconnect=1. Unpacked, so
# that installing it does not replace a QEMU 10 of the machine's.

fetch_reconnecting_qemu() {
  local work deb
  say "fetching QEMU 7.2 from $codename"
  work=$(mktemp -d "$cache/qemu.XXXXXX")
  temporary+=("$work")
  mkdir "$work/debs" "$work/root"
  local names=(qemu-system-x86/"$codename" qemu-system-common/"$codename" qemu-system-data/"$codename")
  if ! (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User= download "${names[@]}" >&2); then
    ((EUID == 0)) || die "apt-get download ${names[*]} failed; run this as root, then this script again:
  apt-get update"
    apt-get -qq update >&2
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User= download "${names[@]}" >&2)
  fi
  for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$work/root"
    dpkg-deb -f "$deb" Depends >>"$work/root/depends"
  done
  rm -rf "$cache/qemu-7"
  mv -T "$work/root" "$cache/qemu-7"
  rm -rf "$work"
}

prepare_reconnecting_qemu() {
  local major needed
  qemu_reconnecting=$(command -v qemu-system-x86_64 || true) qemu_reconnecting_data=
  [[ -n $qemu_reconnecting && $(qemu_major "$qemu_reconnecting") == 7 ]] && return
  [[ -e $cache/qemu-7/depends ]] || fetch_reconnecting_qemu
  qemu_reconnecting=$cache/qemu-7/usr/bin/qemu-system-x86_64
  qemu_reconnecting_data=$cache/qemu-7/usr/share/qemu:/usr/share/seabios:/usr/share/qemu
  major=$(qemu_major "$qemu_reconnecting" || true)
  if [[ -z $major ]]; then
    mapfile -t needed < <(libraries <"$cache/qemu-7/depends")
    require_packages "${needed[@]}"
    major=$(qemu_major "$qemu_reconnecting" || true)
  fi
  [[ $major == 7 ]] ||
    die "$qemu_reconnecting is version ${major:-unknown}, 7 is needed. Remove $cache/qemu-7 and run this again"
}

# ---- Mosquitto, unpacked rather than installed: its package starts a broker on port 1883, now and at each boot, which nobody
# asked for who wants to run our tests. One that is installed already is used; it is started by the tests on ports of their own.

fetch_mosquitto() {
  local work
  say "fetching mosquitto"
  work=$(mktemp -d "$cache/mosquitto.XXXXXX")
  temporary+=("$work")
  mkdir "$work/debs" "$work/root"
  # As elsewhere: the machine's package lists may be older than the archive, or not there at all.
  if ! (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User= download mosquitto >&2); then
    ((EUID == 0)) || die "apt-get download mosquitto failed; run this as root, then this script again:
  apt-get update"
    apt-get -qq update >&2
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User= download mosquitto >&2)
  fi
  dpkg -x "$work"/debs/mosquitto_*.deb "$work/root"
  dpkg-deb -f "$work"/debs/mosquitto_*.deb Depends >"$work/root/depends"
  rm -rf "$cache/mosquitto"
  mv -T "$work/root" "$cache/mosquitto"
  rm -rf "$work"
}

mosquitto_starts() { ! ldd "$mosquitto" 2>&1 | grep -q 'not found'; }

prepare_mosquitto() {
  # /usr/sbin is not in everybody's PATH.
  mosquitto=$(PATH=$PATH:/usr/sbin command -v mosquitto || true)
  [[ -z $mosquitto ]] || return 0
  [[ -e $cache/mosquitto/depends ]] || fetch_mosquitto
  mosquitto=$cache/mosquitto/usr/sbin/mosquitto
  if ! mosquitto_starts; then
    local needed
    mapfile -t needed < <(libraries <"$cache/mosquitto/depends")
    require_packages "${needed[@]}"
  fi
  mosquitto_starts || die "$mosquitto does not start: $(ldd "$mosquitto" 2>&1 | grep 'not found')"
}

# ---- Guest kernels. Debian's have no gpio-virtio, so they are built from Debian's source package with our configurations.

# Our co-processor without hardware (kernel/README.md), for the kernels whose configuration asks for it.
driver=("$here/kernel/coprocessor_test.c" "$here/kernel/Kconfig")
# virtio_rpmsg_bus needs its callbacks in process context, which virtio_uml does not give (kernel/README.md).
patches=("$here/kernel/virtio-uml-rpmsg.patch")
asks_for_driver() { grep -qx 'CONFIG_COPROCESSOR_TEST=y' "$1"; }

kernel_path() { # architecture config
  local version key inputs=("$2")
  ! asks_for_driver "$2" || inputs+=("${driver[@]}" "${patches[@]}")
  version=$(dpkg-query -W -f '${Version}' linux-source-6.1)
  key=$(cat "${inputs[@]}" - <<<"$version $1" | sha256sum | cut -c1-16)
  printf '%s/kernels/%s-%s/vmlinux\n' "$cache" "$1" "$key"
}

add_driver() { # folder of the kernel's remoteproc drivers, whose internal header it needs
  cp "$here/kernel/coprocessor_test.c" "$1/"
  cp "$here/kernel/Kconfig" "$1/Kconfig.coprocessor_test"
  grep -q '^endif # REMOTEPROC$' "$1/Kconfig" || die "$1/Kconfig has no line 'endif # REMOTEPROC': the driver has no place"
  sed -i '/^endif # REMOTEPROC$/i source "drivers/remoteproc/Kconfig.coprocessor_test"' "$1/Kconfig"
  echo 'obj-$(CONFIG_COPROCESSOR_TEST) += coprocessor_test.o' >>"$1/Makefile"
}

unpack_source() {
  [[ -z ${source_tree:-} ]] || return 0
  local work
  work=$(mktemp -d "$cache/source.XXXXXX")
  temporary+=("$work")
  say "unpacking linux-source-6.1 (1.5 GB, deleted after the build)"
  tar -xf /usr/src/linux-source-6.1.tar.xz -C "$work" --strip-components=1
  add_driver "$work/drivers/remoteproc"
  local patch
  for patch in "${patches[@]}"; do
    patch --quiet --strip=1 --directory="$work" <"$patch" >&2 || die "$patch does not fit the source of linux-source-6.1"
  done
  source_tree=$work
}

build_kernel() { # architecture config target
  local path out
  path=$(kernel_path "$1" "$2")
  [[ ! -e $path ]] || return 0
  unpack_source
  out=$(mktemp -d "$cache/build.XXXXXX")
  temporary+=("$out")
  say "building the $1 kernel (3 to 5 minutes on two cores; log: $cache/$1.log)"
  {
    nice -n 10 make -C "$source_tree" O="$out" ARCH="$1" KCONFIG_ALLCONFIG="$2" tinyconfig &&
      nice -n 10 make -C "$source_tree" O="$out" ARCH="$1" -j"$(nproc)" "$3"
  } >"$cache/$1.log" 2>&1 || die "building the $1 kernel failed; the end of $cache/$1.log:
$(tail -n 20 "$cache/$1.log")"
  # An option whose dependencies are not met disappears without a word: a kernel without it would fail much later.
  local option
  while read -r option; do
    grep -qxF "$option" "$out/.config" || die "$option from $2 did not make it into the $1 kernel: a dependency is missing"
  done < <(grep -E '^CONFIG_' "$2")
  mkdir -p "$(dirname "$path")"
  cp "$out/.config" "$(dirname "$path")/config"
  cp "$out/$3" "$path.new"
  mv "$path.new" "$path"
  rm -rf "$out"
}

# ----

mkdir -p "$cache"
# Two runs at once (two checkouts, CI) must not build the same thing twice; the second waits, then finds it done.
exec 9>"$cache/lock"
flock --nonblock 9 || { say "waiting for another run that holds $cache/lock"; flock 9; }
temporary=()
cleanup() { ((${#temporary[@]} == 0)) || rm -rf "${temporary[@]}"; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

[[ $(uname -m) == x86_64 ]] || die "the guests are x86-64 (User-Mode Linux, QEMU): this machine is $(uname -m)"
grep -qE "^(VERSION_CODENAME=$codename)\$" /etc/os-release ||
  say "note: written for Debian $codename; package names and versions may differ on $(. /etc/os-release && echo "$PRETTY_NAME")"

require_packages "${packages[@]}"
prepare_mosquitto
build_kernel um "$here/um.config" linux
prepare_qemu
prepare_reconnecting_qemu
build_kernel x86_64 "$here/x86.config" vmlinux

cat >"$cache/lab.env.new" <<ENV
UML_KERNEL=$(kernel_path um "$here/um.config")
X86_KERNEL=$(kernel_path x86_64 "$here/x86.config")
QEMU_ARM=$qemu_arm
QEMU_X86=$qemu_x86
QEMU_DATA=$qemu_data
QEMU_RECONNECTING=$qemu_reconnecting
QEMU_RECONNECTING_DATA=$qemu_reconnecting_data
MOSQUITTO=$mosquitto
ENV
mv "$cache/lab.env.new" "$cache/lab.env"
say "ready ($cache/lab.env)"
