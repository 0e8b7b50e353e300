#!/bin/sh
# Copies what `metahub detect` reads of this machine to a directory, and nothing that tells whose machine it is:
#   sh capture-host.sh DIR        then: metahub detect --root DIR
# For a report that a machine is detected wrongly, and for test/fixtures/hosts.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
[ ! -e "$1" ] || { echo "$0: $1 is there already: name a new directory" >&2; exit 1; }
if [ "$(uname -s)" = Darwin ]; then
  mkdir -p "$1"
  sysctl machdep.cpu hw.optional hw.memsize kern.osrelease kern.osproductversion >"$1/sysctl.txt"
  exit 0
fi
mkdir -p "$1/proc" "$1/sys"
to=$(cd "$1" && pwd)

# keep PATH [FILTER...]: a file's lines, or those that the filter passes, under the same path.
keep() {
  from=$1; shift
  [ -r "$from" ] && [ -f "$from" ] || return 0
  mkdir -p "$to$(dirname "$from")"
  if [ $# -eq 0 ]; then cat "$from" >"$to$from" 2>/dev/null || rm -f "$to$from"
  else "$@" <"$from" >"$to$from" || true
  fi
}
# keep_link PATH: a symbolic link, as it is.
keep_link() {
  [ -L "$1" ] || return 0
  mkdir -p "$to$(dirname "$1")"
  cp -P "$1" "$to$1"
}
# keep_names FOLDER: the names in it, as empty folders.
keep_names() { for name in "$1"/*; do [ -e "$name" ] && mkdir -p "$to$name"; done; return 0; }

# x86 cores are alike: the first record stands for all. Serial numbers of small boards are left out.
case $(uname -m) in
  x86_64 | i?86) keep /proc/cpuinfo sed '/^[[:space:]]*$/q' ;;
  *) keep /proc/cpuinfo grep -vi '^serial' ;;
esac
keep /proc/meminfo grep '^MemTotal:'
keep /proc/sys/kernel/osrelease
keep /proc/driver/nvidia/version
for card in /proc/driver/nvidia/gpus/*; do keep "$card/information" grep -E '^(Model|Device Minor):'; done
for mig in /proc/driver/nvidia/capabilities/gpu*/mig; do keep_names "$mig"; done
keep /etc/os-release grep -E '^(ID|VERSION_ID)='
keep /usr/bin/ldd grep -m 1 'ldd ('
for file in /etc/metahub/features.d/* /etc/kubernetes/node-feature-discovery/features.d/*; do keep "$file"; done

# Displays and accelerators, and EFA among the network functions.
for device in /sys/bus/pci/devices/*; do
  grep -qE '^PCI_CLASS=(3|12|B)....$|^PCI_ID=(1D0F|1DA3|1AE0|17CB|19E5|1ED5|9999|1D94|1E3E):' "$device/uevent" 2>/dev/null || continue
  keep "$device/uevent" grep -E '^(DRIVER|PCI_CLASS|PCI_ID|PCI_SLOT_NAME)='
done
keep /sys/module/nvidia/version
keep /etc/nv_tegra_release
for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d; do keep_names "$folder"; done
for folder in /sys/class/drm/renderD* /sys/module/rknpu /sys/bus/platform/drivers/RKNPU; do
  if [ -d "$folder" ]; then mkdir -p "$to$folder"; fi
done
for node in /sys/class/kfd/kfd/topology/nodes/*; do
  # Partitions of one GPU share its number; its last digits tell them apart and the GPU from no other's.
  keep "$node/properties" sed -E 's/^(unique_id) [0-9]*([0-9]{6})$/\1 \2/'
done
for device in /sys/class/infiniband/*; do
  keep_link "$device/device/driver"
  for port in "$device"/ports/*; do keep "$port/link_layer"; keep "$port/state"; done
done
keep_names /sys/class/cxi
keep /sys/devices/system/cpu/smt/active
keep /sys/devices/system/cpu/cpu0/topology/thread_siblings_list
for node in /sys/devices/system/node/node*; do keep "$node/cpulist"; done
for size in /sys/kernel/mm/hugepages/*; do keep "$size/nr_hugepages"; done
keep /sys/class/dmi/id/sys_vendor
keep /sys/class/dmi/id/product_name
keep /sys/firmware/devicetree/base/compatible
keep /sys/firmware/devicetree/base/model
echo "captured $(find "$to" -type f | wc -l) files in $to"
