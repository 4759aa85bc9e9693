# shellcheck shell=bash
# The container images that a cluster without a registry needs beside ours, as OCI archives in the cache. Sourced.

image_folder() {
  local key
  key=$({ cat "$CLUSTER/images/pause.c" "$CLUSTER/images/Containerfile" "$CLUSTER/images.sh"; group_folder coredns; } | digest)
  say "$(cache_root)/cluster-images-$key"
}

# `buildah` where there is no container engine and perhaps no user namespace. $1: folder for its storage, the rest: arguments.
buildah_in() {
  local storage=$1
  shift
  buildah --root "$storage/root" --runroot "$storage/run" --storage-driver vfs "$@"
}

# An image of one static program. $1: program, $2: name of the image, $3: archive.
program_image() {
  local work context
  work=$(mktemp -d)
  context=$work/context
  mkdir "$context"
  cp "$1" "$context/program"
  if ! { buildah_in "$work" bud --quiet --isolation chroot --tag "$2" --file "$CLUSTER/images/Containerfile" "$context" &&
    buildah_in "$work" push --quiet "$2" "oci-archive:$3.new:$2"; } >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    fail "the image $2 could not be built"
  fi
  mv "$3.new" "$3"
  rm -rf "$work"
}

build_base_images() {
  local folder
  folder=$(image_folder)
  mkdir -p "$folder"
  touch "$folder"
  if [[ -e $folder/coredns.tar && -e $folder/pause.tar && -x $folder/pause ]]; then return; fi
  say "building the images pause and coredns"
  cc -Os -static -s -o "$folder/pause" "$CLUSTER/images/pause.c"
  program_image "$folder/pause" localhost/bailiwick-pause:dev "$folder/pause.tar"
  program_image "$(program_path coredns)" localhost/bailiwick-coredns:dev "$folder/coredns.tar"
  forget_old_builds images
}
