# shellcheck shell=bash
# Builds the cluster's programs from their Go modules, since no prebuilt one can be had from a package registry. A group is a folder
# go/GROUP whose go.mod names its programs in `tool` lines and pins them; go.sum pins every byte that they are built from. What is
# built lies in the cache by the hash of all that makes two builds differ, so only the first start of a machine waits for it.
# Sourced.

PROGRAM_GROUPS=(kubernetes containerd coredns helm)
BUILD_FLAGS=(-trimpath -buildvcs=false -mod=readonly)

# The packages of a group's `tool` lines, one a line.
group_packages() {
  sed -n -e '/^tool (/,/^)/s/^\t\([^ ]*\).*/\1/p' -e 's/^tool \([^(]*\)$/\1/p' "$CLUSTER/go/$1/go.mod"
}

# The version of a module that a group's go.mod requires, as v1.2.3. $1: group, $2: module.
module_version() { sed -n "s#^\(require \|\t\)$2 \(v[0-9.]*\).*#\2#p" "$CLUSTER/go/$1/go.mod" | head -n 1; }

# `kubelet` of `k8s.io/kubernetes/cmd/kubelet`; etcd's package is called for its place in the repository.
program_name() {
  case $1 in
    go.etcd.io/etcd/server/v3) say etcd ;;
    *) basename "$1" ;;
  esac
}

# Without these the programs would call themselves version 0, and clients and tests believe it.
linker_flags() {
  local version
  case $1 in
    kubernetes)
      version=$(module_version kubernetes k8s.io/kubernetes)
      local variable=k8s.io/component-base/version minor=${version#v1.}
      say "-s -w -X $variable.gitVersion=$version -X $variable.gitMajor=1 -X $variable.gitMinor=${minor%%.*}"
      ;;
    containerd)
      version=$(module_version containerd github.com/containerd/containerd/v2)
      say "-s -w -X github.com/containerd/containerd/v2/version.Version=$version"
      ;;
    helm) say "-s -w -X helm.sh/helm/v4/internal/version.version=$(module_version helm helm.sh/helm/v4)" ;;
    *) say '-s -w' ;;
  esac
}

# Where a group's programs lie.
group_folder() {
  local key
  key=$({ go version; cat "$CLUSTER/go/$1/go.mod" "$CLUSTER/go/$1/go.sum"; say "${BUILD_FLAGS[*]} $(linker_flags "$1")"; } | digest)
  say "$(cache_root)/cluster-$1-$key"
}

# The cached program $1; its group is looked up.
program_path() {
  local group package
  for group in "${PROGRAM_GROUPS[@]}"; do
    for package in $(group_packages "$group"); do
      if [[ $(program_name "$package") == "$1" ]]; then
        say "$(group_folder "$group")/$1"
        return
      fi
    done
  done
  fail "no group builds \`$1\`"
}

# Of our own, since its six gigabytes are worth nothing once all is built; a build that was broken off goes on from it.
compiler_cache() { say "$(cache_root)/cluster-compiler"; }

# Builds one program, with a sign of life every half minute. $1: group, $2: package, $3: folder.
build_program() {
  local group=$1 package=$2 folder=$3 name builder log code=0 began=$SECONDS told=0
  name=$(program_name "$package")
  log=$folder/.$name.log
  (cd "$CLUSTER/go/$group" && CGO_ENABLED=0 GOFLAGS=${CLUSTER_GOFLAGS:-} GOCACHE=$(compiler_cache) \
    nice go build "${BUILD_FLAGS[@]}" -ldflags "$(linker_flags "$group")" -o "$folder/.$name.new" "$package") >"$log" 2>&1 &
  builder=$!
  while kill -0 "$builder" 2>/dev/null; do
    sleep 1
    if ((SECONDS - began >= told + 30)); then
      told=$((SECONDS - began))
      say "  $name: $told s so far"
    fi
  done
  wait "$builder" || code=$?
  if ((code != 0)); then
    tail -n 40 "$log" >&2
    fail "$name could not be built; the whole log: $log"
  fi
  mv "$folder/.$name.new" "$folder/$name"
  rm -f "$log"
}

# Deletes all folders of a group but the newest two.
forget_old_builds() {
  # The names are ours: no white space, no line breaks.
  # shellcheck disable=SC2012
  ls -dt "$(cache_root)/cluster-$1"-* 2>/dev/null | tail -n +3 | while read -r old; do rm -rf "$old"; done
}

# Builds what the cache lacks of the groups named; GROUP:PROGRAM is one program of a group.
build_programs() {
  local wanted group package name folder missing=() entry done_count=0 began
  for wanted in "$@"; do
    group=${wanted%%:*}
    folder=$(group_folder "$group")
    mkdir -p "$folder"
    touch "$folder"
    for package in $(group_packages "$group"); do
      name=$(program_name "$package")
      if [[ $wanted == *:* && $wanted != *:"$name" ]]; then continue; fi
      if [[ ! -x $folder/$name ]]; then missing+=("$group $package $folder"); fi
    done
  done
  if ((${#missing[@]} == 0)); then return; fi
  say "building what the test cluster lacks (${#missing[@]} of its programs): once for this machine, nine minutes for all on two free cores"
  for entry in "${missing[@]}"; do
    read -r group package folder <<<"$entry"
    done_count=$((done_count + 1)) began=$SECONDS
    say "building $(program_name "$package") ($done_count of ${#missing[@]})"
    build_program "$group" "$package" "$folder"
    say "built $(program_name "$package") in $((SECONDS - began)) s"
  done
  rm -rf "$(compiler_cache)"
  for wanted in "$@"; do forget_old_builds "${wanted%%:*}"; done
}

# One build at a time, so that `build` in the background and a later `up` share the work.
build_locked() {
  local code=0
  have go || fail "Go is missing: https://go.dev/dl, version $(sed -n 's/^go //p' "$CLUSTER/go/kubernetes/go.mod") or newer"
  mkdir -p "$(cache_root)"
  exec 8>"$(cache_root)/cluster-build.lock"
  flock --nonblock 8 || say "waiting for another build of the cluster's programs to end"
  flock 8
  (build_programs "$@") 8>&- || code=$?
  exec 8>&-
  return "$code"
}
