#!/usr/bin/env bash
# Builds Jaeger (one process: OTLP in, traces in memory, query API) from its Go module, for asking which spans arrived.
# Prints `JAEGER=<binary>` on stdout; everything else goes to stderr. A binary that is there is not built again.
# Needs: go >= 1.26, jq. Cold on two cores about 6 minutes, warm under a second.
set -euo pipefail

version=v1.76.0
module=github.com/jaegertracing/jaeger
# One modest number: the machine is shared with whatever else runs the tests.
jobs=${GO_JOBS:-2}

say() { echo "jaeger: $*" >&2; }

command -v go >/dev/null || { say "go is not installed (1.26 or newer is needed)"; exit 1; }

parts=${POINTSMAN_PARTS:-$HOME/.cache/pointsman/parts}
binary=$parts/jaeger-$version

if [ ! -x "$binary" ]; then
  mkdir -p "$parts"
  # Two runs at once: the second waits and finds the first one's binary.
  exec 9>"$parts/.jaeger.lock"
  flock 9
fi
if [ ! -x "$binary" ]; then
  work=$(mktemp -d)
  # Module files are read-only: without chmod the clean-up fails.
  trap 'chmod -R u+w "$work" 2>/dev/null || true; rm -rf "$work"' EXIT
  export GOTOOLCHAIN=local
  say "building $version (about 6 minutes the first time)"
  cd "$work"
  # A module with replace directives is not installable by itself: as a dependency of an empty module it builds, with its own sums.
  folder=$(go mod download -json "$module@$version" | jq -r .Dir)
  go mod init wrap/jaeger 2>/dev/null
  cp "$folder/go.sum" go.sum
  chmod u+w go.sum
  go mod edit -replace github.com/Shopify/sarama=github.com/Shopify/sarama@v1.33.0
  go mod edit -require "$module@$version"
  printf '//go:build tools\n\npackage tools\n\nimport _ "%s/cmd/jaeger"\n' "$module" >tools.go
  GOFLAGS=-mod=mod go build -p "$jobs" -trimpath -ldflags '-s -w' -o "$work/jaeger" "$module/cmd/jaeger" >&2
  # Same file system, then rename: a reader never sees half a binary.
  install -m 755 "$work/jaeger" "$binary.part"
  mv "$binary.part" "$binary"
  say "built in $SECONDS s"
fi
"$binary" version >&2
echo "JAEGER=$binary"
