#!/usr/bin/env bash
# Builds a Kubernetes control plane from its Go modules: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok, which pretends nodes.
# Prints `KUBERNETES_BIN=<folder>` and `KUBECTL=<program>` on stdout; everything else goes to stderr. What is there is not built again.
# Needs: go >= 1.25, jq. Cold on two cores about 15 minutes, warm under a second.
set -euo pipefail

kubernetes=v1.35.4
etcd=v3.6.16
kwok=v0.7.0
# One modest number: the machine is shared with whatever else runs the tests.
jobs=${GO_JOBS:-2}

say() { echo "kubernetes: $*" >&2; }

command -v go >/dev/null || { say "go is not installed (1.25 or newer is needed)"; exit 1; }
command -v jq >/dev/null || { say "jq is not installed (apt-get install jq)"; exit 1; }

parts=${POINTSMAN_PARTS:-$HOME/.cache/pointsman/parts}
bin=$parts/kubernetes-$kubernetes-etcd-$etcd-kwok-$kwok
mkdir -p "$bin"
# Two runs at once: the second waits and finds the first one's binaries.
exec 9>"$bin/.lock"
flock 9
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export GOTOOLCHAIN=local

# Puts a finished binary in place by a rename: a reader never sees half of one.
place() {
  install -m 755 "$1" "$bin/$2.part"
  mv "$bin/$2.part" "$bin/$2"
  say "$2 built, $SECONDS s since the start"
}

# build NAME MODULE@VERSION PACKAGE [REPLACEMENT...]
# Modules with replace directives cannot be built by `go install`. As the dependency of an empty module they can, with the replacements given again.
build() {
  local name=$1 module=$2 package=$3 source
  shift 3
  [ -x "$bin/$name" ] && return
  say "building $name of $module"
  source=$(cd "$work" && go mod download -json "$module" | jq -r .Dir)
  mkdir -p "$work/$name"
  (
    cd "$work/$name"
    export GOFLAGS=-mod=mod
    go mod init "built/$name" 2>/dev/null
    cp "$source/go.sum" go.sum
    chmod u+w go.sum
    for replacement in "$@"; do go mod edit -replace "$replacement"; done
    go mod edit -require "$module"
    printf '//go:build tools\n\npackage tools\n\nimport _ "%s"\n' "$package" > tools.go
    go build -p "$jobs" -trimpath -ldflags "-s -w ${linker_flags:-}" -o "$work/$name.out" "$package"
  ) >&2
  place "$work/$name.out" "$name"
}

build etcd "go.etcd.io/etcd/server/v3@$etcd" go.etcd.io/etcd/server/v3

components=(kube-apiserver kube-controller-manager kube-scheduler)
missing=()
for component in "${components[@]}"; do [ -x "$bin/$component" ] || missing+=("$component"); done
if [ ${#missing[@]} -gt 0 ]; then
  source=$(cd "$work" && go mod download -json "k8s.io/kubernetes@$kubernetes" | jq -r .Dir)
  # Its go.mod points the k8s.io libraries at ./staging, which a module does not contain: the published ones of the same release are the same code.
  mapfile -t replacements < <(sed -nE "s#^\s*(k8s.io/[a-z-]+) => ./staging/.*#\1=\1@v0.${kubernetes#v1.}#p" "$source/go.mod")
  minor=${kubernetes#v1.}
  version=k8s.io/component-base/version
  linker_flags="-X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"
  for component in "${missing[@]}"; do build "$component" "k8s.io/kubernetes@$kubernetes" "k8s.io/kubernetes/cmd/$component" "${replacements[@]}"; done
fi

if [ ! -x "$bin/kwok" ]; then
  say "building kwok $kwok"
  GOBIN="$work" go install -p "$jobs" -trimpath -ldflags='-s -w' "sigs.k8s.io/kwok/cmd/kwok@$kwok" >&2
  place "$work/kwok" kwok
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
kubectl=$("$root/node_modules/.bin/node" --input-type=module -e "import { kubernetesPrograms } from '$root/tools/src/manifests/kubernetes-programs.ts'; console.log((await kubernetesPrograms()).kubectl)")
echo "KUBECTL=$kubectl"
echo "KUBERNETES_BIN=$bin"
