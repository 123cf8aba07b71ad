#!/usr/bin/env bash
# Builds an OpenTelemetry collector with exactly the components that deploy/otel and the real tests use, from Go modules.
# Prints `OTEL_COLLECTOR=<binary>` on stdout; everything else goes to stderr. A binary that is there is not built again.
# Needs: go >= 1.26. Cold on two cores about 5 minutes, warm under a second.
set -euo pipefail

# Not every contrib component is published at every version; this is the newest one at which all of these are.
version=v0.145.0
core=go.opentelemetry.io/collector
contrib=github.com/open-telemetry/opentelemetry-collector-contrib
# One modest number: the machine is shared with whatever else runs the tests.
jobs=${GO_JOBS:-2}

say() { echo "otel-collector: $*" >&2; }

manifest() { # DIRECTORY: the build description, its output in DIRECTORY
  cat <<YAML
dist:
  name: otelcol
  version: ${version#v}
  output_path: $1
receivers:
  - gomod: $core/receiver/otlpreceiver $version
  - gomod: $contrib/receiver/filelogreceiver $version
processors:
  - gomod: $core/processor/batchprocessor $version
  - gomod: $core/processor/memorylimiterprocessor $version
  - gomod: $contrib/processor/tailsamplingprocessor $version
  - gomod: $contrib/processor/attributesprocessor $version
  - gomod: $contrib/processor/k8sattributesprocessor $version
exporters:
  - gomod: $contrib/exporter/fileexporter $version
  - gomod: $core/exporter/debugexporter $version
  - gomod: $core/exporter/otlpexporter $version
  - gomod: $core/exporter/otlphttpexporter $version
  - gomod: $contrib/exporter/awss3exporter $version
  - gomod: $contrib/exporter/loadbalancingexporter $version
extensions:
  - gomod: $contrib/extension/healthcheckextension $version
  - gomod: $contrib/extension/storage/filestorage $version
YAML
}

command -v go >/dev/null || { say "go is not installed (1.26 or newer is needed)"; exit 1; }

# Identity by content: another version or another set of components is another binary.
digest=$(manifest . | sha256sum | cut -c1-12)
parts=${POINTSMAN_PARTS:-$HOME/.cache/pointsman/parts}
binary=$parts/otelcol-$version-$digest

if [ ! -x "$binary" ]; then
  mkdir -p "$parts"
  # Two runs at once: the second waits and finds the first one's binary.
  exec 9>"$parts/.otel-collector.lock"
  flock 9
fi
if [ ! -x "$binary" ]; then
  work=$(mktemp -d)
  # Module files are read-only: without chmod the clean-up fails.
  trap 'chmod -R u+w "$work" 2>/dev/null || true; rm -rf "$work"' EXIT
  export GOTOOLCHAIN=local
  say "building the collector builder $version"
  GOBIN="$work/bin" go install -p "$jobs" "$core/cmd/builder@$version"
  say "building the collector (about 5 minutes the first time)"
  manifest "$work/collector" >"$work/manifest.yaml"
  GOFLAGS="${GOFLAGS:-} -p=$jobs" "$work/bin/builder" --config "$work/manifest.yaml" >&2
  # Same file system, then rename: a reader never sees half a binary.
  install -m 755 "$work/collector/otelcol" "$binary.part"
  mv "$binary.part" "$binary"
  say "built in $SECONDS s"
fi
"$binary" --version >&2
echo "OTEL_COLLECTOR=$binary"
