#!/usr/bin/env bash
# The images, within the sizes that they may have, and a bill of materials beside each.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
[[ $(uname -s) == Linux ]] || skip_stage "static programs are built for Linux, on Linux"
bash scripts/images.sh
passed=0
for image in operator sidecar demo; do
  archive=target/images/bailiwick-$image.tar
  [[ $(tar -xOf "$archive" oci-layout) == *imageLayoutVersion* ]] || fail "$archive is no OCI archive"
  python3 - "target/images/bailiwick-$image.cdx.json" <<'PYTHON'
import json, sys

bill = json.load(open(sys.argv[1]))
assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
known = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
assert len(known) == len(bill["components"]) + 1, "a component is listed twice"
assert all(component["purl"].startswith("pkg:cargo/") and component["licenses"] for component in bill["components"])
assert {each["ref"] for each in bill["dependencies"]} == known
assert all(set(each["dependsOn"]) <= known for each in bill["dependencies"])
PYTHON
  passed=$((passed + 1))
done
say "$passed 0 0" >"$STAGE_COUNTS"
