#!/bin/sh
# Runs as the first process of new mount, pid, uts, ipc, net and cgroup namespaces: makes a whole Debian tree the root and
# becomes its systemd. $1: the tree, with a pipe `booted` in it for whoever waits for the boot.
set -eu
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/old" "$root/run/systemd" "$root/run/systemd/system"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ip link set lo up

# Of the tree's own services only the journal and the container runtimes run; these are files of /run, so that the tree stays as it is.
for wants in sysinit sockets local-fs timers multi-user; do
  for unit in "$root/usr/lib/systemd/system/$wants.target.wants"/* "$root/etc/systemd/system/$wants.target.wants"/*; do
    case ${unit##*/} in
      systemd-journald* | metahub* | docker.* | containerd.*) ;;
      *.service | *.socket | *.mount | *.automount | *.timer | *.path)
        mkdir -p "$root/run/systemd/system/${unit##*/}.d"
        printf '[Unit]\nConditionPathExists=/not-in-this-test\n' >"$root/run/systemd/system/${unit##*/}.d/off.conf"
        ;;
    esac
  done
done
printf '%s\n' '[Unit]' 'Requires=basic.target' '[Service]' 'Type=oneshot' \
  "ExecStart=/bin/sh -c 'echo booted >/booted'" >"$root/run/systemd/system/booted.service"

cd "$root"
pivot_root . run/old
umount -l /run/old
mount --make-rshared /
exec env -i container=metahub-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin TERM=dumb \
  /usr/lib/systemd/systemd --log-level=info --log-target=console --show-status=no --unit=booted.service
