#!/usr/bin/env bash
# What the path of a span needs: a collector, Jaeger to find it in, MinIO to archive it in. Prints the variables of all three.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in otel-collector jaeger minio; do "$here/$part.sh"; done
