/**
 * /init of every guest, and the protocol that it speaks on its console with `GuestConsole`.
 *
 * To the guest, one command a line: `ID COMMAND`. From the guest, tagged lines, so that several programs
 * can run at once and the kernel's own messages in between do no harm:
 * - `@ready`              the guest takes commands
 * - `@ID pid N`           the command runs as process N
 * - `@ID out TEXT`        a line of its standard output; `err` likewise
 * - `@ID exit CODE`       it has ended and all its output came before this line
 */
export const GUEST_INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
# No echo of our commands, no carriage returns; and no kernel message in the middle of a line (dmesg keeps them).
stty -echo -onlcr
dmesg -n 1

tag() {
  while IFS= read -r line || [ -n "$line" ]; do echo "@$1 $2 $line"; done
}

execute() {
  mkfifo "/tmp/$1.out" "/tmp/$1.err"
  tag "$1" out <"/tmp/$1.out" & out=$!
  tag "$1" err <"/tmp/$1.err" & err=$!
  # The process tells its number itself, when it has opened both pipes: killed before, it would leave their readers waiting.
  sh -c "echo @$1 pid \\$\\$ >&3; exec 3>&-; $2" 3>&1 >"/tmp/$1.out" 2>"/tmp/$1.err" </dev/null &
  # In the background, as the shell writes a line about a foreground program that a signal ends.
  wait $!; code=$?
  wait $out $err
  rm "/tmp/$1.out" "/tmp/$1.err"
  echo "@$1 exit $code"
}

echo @ready
while read -r id command; do
  execute "$id" "$command" &
done
# The console is closed: nobody is left to talk to. -f: there is no other init to ask.
poweroff -f
`;
