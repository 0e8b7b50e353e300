#!/bin/sh
# Prints the line of this node for slurm.conf; with --feature, the value for `scontrol update NodeName=… AvailableFeatures=`:
#   NodeName=node17 Feature=cpu.zen4,x86-64-v4,nvcap.9.0
# A dot replaces : and &, which have a meaning in constraints.
set -eu
# Exit status 3: a probe failed, but the other features are known.
found=$(metahub detect --features) || [ $? -eq 3 ]
features=$(printf '%s\n' "$found" | sed 's/^- *//' | tr -d "\"'" |
  grep -E '^(cpu:|x86-64-v|arm64-v|nvcap:|gfx:|gpu:)' | tr ':&' '..' | paste -sd, -)
case ${1-} in
  --feature) printf '%s\n' "$features" ;;
  *) printf 'NodeName=%s Feature=%s\n' "$(hostname -s)" "$features" ;;
esac
