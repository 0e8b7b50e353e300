#!/bin/sh
# Copies what `metahub detect` reads of this machine to a new directory: sh capture-host.sh DIR
# It runs `metahub detect --capture DIR`.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
program=$(dirname "$0")/../bin/metahub.js
if [ -e "$program" ]; then exec node "$program" detect --capture "$1"; fi
exec metahub detect --capture "$1"
