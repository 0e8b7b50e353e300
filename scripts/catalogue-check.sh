#!/bin/sh
# Asks the registries whether they still have the images of the catalogue; names the entries with a missing image.
set -u
cd "$(dirname "$0")/.." || exit 1
lacking=''
# One entry after another, because registries limit the requests of anonymous clients.
for file in catalog/*.yml; do
  name=$(basename "$file" .yml)
  node bin/metahub.js catalog test "$name" "$@" || lacking="$lacking $name"
done
[ -z "$lacking" ] && exit
echo "not all images were found:$lacking" >&2
exit 3
