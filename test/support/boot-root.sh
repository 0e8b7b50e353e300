# Sourced by boot-systemd.sh and boot-tree.sh, the first processes of new namespaces. $root: the new root, which has
# proc, sys, dev, run and tmp.

# What a system expects of its kernel.
mount_kernel() {
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
  mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/old"
  mount -t tmpfs tmpfs "$root/dev/shm"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  ip link set lo up
}

# A unit that writes to the pipe /booted when the system is up, in the folder $1.
write_booted() {
  printf '%s\n' '[Unit]' 'Requires=basic.target' '[Service]' 'Type=oneshot' \
    "ExecStart=/bin/sh -c 'echo booted >/booted'" >"$1/booted.service"
}

# Becomes the system.
boot() {
  cd "$root"
  pivot_root . run/old
  umount -l /run/old
  mount --make-rshared /
  exec env -i container=metahub-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin TERM=dumb \
    /usr/lib/systemd/systemd --log-level=info --log-target=console --show-status=no --unit=booted.service
}
