#!/bin/sh
# Asks the registries whether the images of the catalogue are still there, and names the entries that lack one.
set -u
cd "$(dirname "$0")/.." || exit 1
lacking=''
# One entry after another: registries limit what an anonymous client may ask.
for file in catalog/*.yml; do
  name=$(basename "$file" .yml)
  node bin/metahub.js catalog test "$name" "$@" || lacking="$lacking $name"
done
[ -z "$lacking" ] && exit
echo "not all images were found:$lacking" >&2
exit 3
