#!/bin/sh
# Runs as the first process of new mount, pid, uts, ipc, net and cgroup namespaces: lays out a root of its own over this
# machine's /usr and becomes systemd there. $1: an empty folder, $2: the clone, $3: Node.js.
set -eu
tree=$1 clone=$2 node=$3
root=$tree/root
. "$(dirname "$0")/boot-root.sh"
mount --make-rprivate /
mkdir -p "$root/usr" "$tree/upper" "$tree/work"
mount --bind "$root" "$root"
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$tree/upper,workdir=$tree/work" "$root/usr"
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
mkdir -p "$root/etc/systemd/system" "$root/var/lib" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" \
  "$root/opt/metahub" "$root/root"
mount --bind "$clone" "$root/opt/metahub"
mount -o remount,bind,ro "$root/opt/metahub"

# What npm install --global would do.
mkdir -p "$root/usr/local/bin"
ln -sf /opt/metahub/bin/metahub.js "$root/usr/local/bin/metahub"
rm -f "$root/usr/local/bin/node"
: >"$root/usr/local/bin/node"
mount --bind "$node" "$root/usr/local/bin/node"
cp "$clone"/systemd/metahub* "$root/etc/systemd/system/"

cp /etc/passwd /etc/group /etc/nsswitch.conf "$root/etc/"
cp /etc/ld.so.cache "$root/etc/" 2>/dev/null || true
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
# Whoever waits for the boot reads the pipe $1/root/booted.
write_booted "$root/etc/systemd/system"
# Nothing of the machine itself is set up: no devices, no kernel settings, no other service.
for wants in sysinit sockets local-fs timers multi-user; do
  for unit in "/usr/lib/systemd/system/$wants.target.wants"/*; do
    case ${unit##*/} in
      systemd-journald*) ;;
      *.service | *.socket | *.mount | *.automount | *.timer | *.path) ln -sf /dev/null "$root/etc/systemd/system/${unit##*/}" ;;
    esac
  done
done

mount_kernel
boot
