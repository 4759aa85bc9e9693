#!/usr/bin/env bash
# Builds the static programs and an image of each: OCI archives target/images/bailiwick-{operator,sidecar,demo}.tar, and beside each its
# bill of materials (CycloneDX). Prints references and sizes, and fails where an image is larger than it may be.
#
#   scripts/images.sh [operator|sidecar|demo …]
#
# BAILIWICK_IMAGE_PROFILE names the cargo profile: `release` (the default), or `image-test`, which builds in a fraction of the time what
# behaves the same and runs slower. BAILIWICK_IMAGE_TARGET names another target folder than the cached one.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"
cd "$ROOT"
use_pinned_toolchain

images=("$@")
if ((${#images[@]} == 0)); then images=(operator sidecar demo); fi
profile=${BAILIWICK_IMAGE_PROFILE:-release}
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
triple=$(rustc -vV | sed -n 's/^host: //p')
out=$ROOT/target/images
export RUSTFLAGS="-C target-feature=+crt-static"
CARGO_TARGET_DIR=${BAILIWICK_IMAGE_TARGET:-$(keyed_target images Cargo.lock Cargo.toml "$profile")}
export CARGO_TARGET_DIR

# Megabytes (10^6 bytes) that an image may have; 0 is any.
limit_of() {
  case $1 in
    operator) say 30 ;;
    sidecar) say 20 ;;
    demo) say 0 ;;
    *) fail "no image is called \`$1\`; there are: operator, sidecar, demo" ;;
  esac
}

# The arguments that make cargo build, or list, exactly what is in an image.
selection() {
  case $1 in
    operator) say --package bailiwick-operator --features bailiwick-operator/cluster ;;
    sidecar) say --package bailiwick-sidecar ;;
    demo) say --package bailiwick-demo ;;
  esac
}

# Each by itself: built together, the features that one asks for would be in the others, too.
build_program() {
  local arguments binary=bailiwick-$1
  if [[ $1 == demo ]]; then binary=bailiwick-demo-service; fi
  read -ra arguments <<<"$(selection "$1")"
  say "building bailiwick-$1 ($profile)"
  cargo build --locked --quiet --profile "$profile" --target "$triple" --bin "$binary" "${arguments[@]}"
  # Without symbols: a third of the size. What panics still says where.
  install -s -m 755 "$CARGO_TARGET_DIR/$triple/$profile/$binary" "$out/context/bailiwick-$1"
  if have ldd && ldd "$out/context/bailiwick-$1" 2>/dev/null | grep -q '=>'; then fail "bailiwick-$1 is not static"; fi
}

# A container engine that answers, else buildah, which needs none.
choose_builder() {
  local engine
  if [[ -n ${BAILIWICK_IMAGE_BUILDER:-} ]]; then
    say "$BAILIWICK_IMAGE_BUILDER"
    return
  fi
  for engine in buildah podman docker; do
    have "$engine" || continue
    if [[ $engine == docker ]] && ! { docker info && docker buildx version; } >/dev/null 2>&1; then continue; fi
    say "$engine"
    return
  done
  if [[ $(id -u) == 0 ]] && have apt-get; then
    say "installing buildah" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah >/dev/null
    say buildah
    return
  fi
  fail "nothing here builds images: install buildah, podman or docker (with buildx)"
}

# $1: image, $2: reference, $3: archive. The same program gives the same image: its time is the epoch's begin.
build_image() {
  local arguments=(--file deploy/Containerfile --target "$1" --build-arg "VERSION=$version") storage
  case $builder in
    buildah)
      # Its own storage, thrown away afterwards: no engine's images are touched, and no user namespace is needed.
      storage=$(mktemp -d)
      local store=(--root "$storage/root" --runroot "$storage/run" --storage-driver vfs)
      buildah "${store[@]}" bud --quiet --isolation chroot --timestamp 0 "${arguments[@]}" --tag "$2" "$out/context" >/dev/null
      buildah "${store[@]}" push --quiet "$2" "oci-archive:$3:$2"
      rm -rf "$storage"
      ;;
    podman)
      podman build --quiet --timestamp 0 "${arguments[@]}" --tag "$2" "$out/context" >/dev/null
      podman save --quiet --format oci-archive --output "$3" "$2"
      ;;
    docker) SOURCE_DATE_EPOCH=0 docker buildx build --quiet --provenance=false "${arguments[@]}" --output "type=oci,dest=$3,name=$2" "$out/context" >/dev/null ;;
    *) fail "unknown builder \`$builder\`" ;;
  esac
}

megabytes() { awk -v bytes="$1" 'BEGIN { printf "%.1f", bytes / 1000000 }'; }

# Builds one image unless its archive is that of the same program already. $1: image.
make_image() {
  local image=$1 reference archive key size limit arguments
  reference=localhost/bailiwick-$image:$version
  archive=$out/bailiwick-$image.tar
  key=$(cat "$out/context/bailiwick-$image" deploy/Containerfile <(say "$reference $builder") | digest)
  if [[ ! -e $archive || $(cat "$archive.key" 2>/dev/null) != "$key" ]]; then
    rm -f "$archive" "$archive.new"
    build_image "$image" "$reference" "$archive.new"
    mv "$archive.new" "$archive"
    say "$key" >"$archive.key"
  fi
  read -ra arguments <<<"$(selection "$image")"
  python3 scripts/sbom.py --name "bailiwick-$image" --version "$version" --target "$triple" \
    --program "$out/context/bailiwick-$image" -- "${arguments[@]}" >"$out/bailiwick-$image.cdx.json"
  size=$(wc -c <"$out/context/bailiwick-$image") limit=$(limit_of "$image")
  printf '%-36s %5s MB  %s\n' "$reference" "$(megabytes "$size")" "${archive#"$ROOT/"}"
  if ((limit > 0 && size > limit * 1000000)); then
    fail "$reference has $(megabytes "$size") MB, and may have $limit MB"
  fi
}

for image in "${images[@]}"; do limit_of "$image" >/dev/null; done
mkdir -p "$out/context" "$CARGO_TARGET_DIR"
# One build at a time in a cached folder.
if [[ -z ${BAILIWICK_IMAGES_LOCKED:-} ]] && have flock; then
  flock --nonblock "$CARGO_TARGET_DIR/.lock" true || say "waiting for another build of the images to end"
  BAILIWICK_IMAGES_LOCKED=1 exec flock --close "$CARGO_TARGET_DIR/.lock" bash "$ROOT/scripts/images.sh" "$@"
fi
if [[ -z ${BAILIWICK_IMAGE_TARGET:-} ]]; then claim_target images "$CARGO_TARGET_DIR"; fi
builder=$(choose_builder)
for image in "${images[@]}"; do build_program "$image"; done
for image in "${images[@]}"; do make_image "$image"; done
