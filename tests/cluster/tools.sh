# shellcheck shell=bash
# The image `localhost/bailiwick-test-tools:dev`: what the tests' pods are made of beside our own programs, from Debian's packages, since
# there is no registry to take images from. Built once a machine, by the hash of its recipe, when a test first asks for it. Sourced.

TOOLS_IMAGE=localhost/bailiwick-test-tools:dev

tools_archive() {
  local key
  key=$(cat "$CLUSTER/tools/packages.txt" "$CLUSTER/tools/Containerfile" "$CLUSTER/tools.sh" | digest)
  say "$(cache_root)/cluster-tools-$key/test-tools.tar"
}

tools_packages() { sed -n 's/^\([a-z0-9].*\)/\1/p' "$CLUSTER/tools/packages.txt" | paste -sd, -; }

# Where this machine takes Debian's packages from.
tools_mirror() { apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Identifier: Packages' | head -n 1; }

tools_debootstrap() {
  local mirror
  if ! have mmdebstrap; then
    have apt-get || fail "missing: mmdebstrap (Debian's name); install it and run this again"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null
  fi
  mirror=$(tools_mirror)
  # Another distribution's machine: mmdebstrap's own choice.
  mmdebstrap --mode=root --variant=minbase --include="$(tools_packages)" \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    bookworm "$1" ${mirror:+"$mirror"}
}

tools_image() {
  local work=$1 archive=$2
  tools_debootstrap "$work/context/root.tar" &&
    buildah_in "$work" bud --quiet --isolation chroot --tag "$TOOLS_IMAGE" --file "$CLUSTER/tools/Containerfile" "$work/context" &&
    buildah_in "$work" push --quiet "$TOOLS_IMAGE" "oci-archive:$archive.new:$TOOLS_IMAGE" &&
    mv "$archive.new" "$archive"
}

# Builds the image unless it lies in the cache; last line of its output: the archive.
tools() {
  local archive work
  archive=$(tools_archive)
  mkdir -p "$(dirname "$archive")"
  touch "$(dirname "$archive")"
  exec 7>"$(cache_root)/cluster-tools.lock"
  flock 7
  if [[ ! -e $archive ]]; then
    say "building the image of the tests' tools: once for this machine, two minutes or so" >&2
    work=$(mktemp -d "$(cache_root)/tools.XXXXXX")
    mkdir "$work/context"
    if ! tools_image "$work" "$archive" >"$work/log" 2>&1 7>&-; then
      tail -n 30 "$work/log" >&2
      fail "the image of the tests' tools could not be built; the whole log: $work/log"
    fi
    rm -rf "$work"
    forget_old_builds tools
  fi
  exec 7>&-
  say "$archive"
}
