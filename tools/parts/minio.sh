#!/usr/bin/env bash
# Builds a MinIO server from its Go module: the S3 server that most clusters outside AWS run.
# Prints `MINIO=<binary>` on stdout; everything else goes to stderr. A binary that is there is not built again.
# For tests only: MinIO is AGPL-3.0, so it is started as a program and never linked or shipped.
# Needs: go >= 1.24. Cold on two cores about 5 minutes, warm under a second.
set -euo pipefail

version=v0.0.0-20260212201848-7aac2a2c5b7c
# One modest number: the machine is shared with whatever else runs the tests.
jobs=${GO_JOBS:-2}

say() { echo "minio: $*" >&2; }

command -v go >/dev/null || { say "go is not installed (1.24 or newer is needed)"; exit 1; }

parts=${POINTSMAN_PARTS:-$HOME/.cache/pointsman/parts}
binary=$parts/minio-$version

if [ ! -x "$binary" ]; then
  mkdir -p "$parts"
  # Two runs at once: the second waits and finds the first one's binary.
  exec 9>"$parts/.minio.lock"
  flock 9
fi
if [ ! -x "$binary" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  say "building $version (about 5 minutes the first time)"
  GOTOOLCHAIN=local GOBIN="$work" go install -p "$jobs" -trimpath -ldflags='-s -w' "github.com/minio/minio@$version" >&2
  # Same file system, then rename: a reader never sees half a binary.
  install -m 755 "$work/minio" "$binary.part"
  mv "$binary.part" "$binary"
  say "built in $SECONDS s"
fi
"$binary" --version >&2
echo "MINIO=$binary"
