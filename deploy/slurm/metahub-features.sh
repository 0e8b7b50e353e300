#!/bin/sh
# Prints this node's line for slurm.conf, or with --feature what `scontrol update NodeName=… AvailableFeatures=` takes:
#   NodeName=node17 Feature=cpu.zen4,x86-64-v4,nvcap.9.0
# Slurm separates features by commas and gives : and & a meaning in constraints; both become dots.
set -eu
# 3: a probe failed, and the rest is known.
found=$(metahub detect --features) || [ $? -eq 3 ]
features=$(printf '%s\n' "$found" | sed 's/^- *//' | tr -d "\"'" |
  grep -E '^(cpu:|x86-64-v|arm64-v|nvcap:|gfx:|gpu:)' | tr ':&' '..' | paste -sd, -)
case ${1-} in
  --feature) printf '%s\n' "$features" ;;
  *) printf 'NodeName=%s Feature=%s\n' "$(hostname -s)" "$features" ;;
esac
