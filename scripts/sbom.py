#!/usr/bin/env python3
"""Writes the bill of materials of one program: CycloneDX 1.6 JSON on standard output, from cargo's own dependency tree.

    sbom.py --name NAME --version VERSION --target TRIPLE --program FILE -- CARGO-SELECTION…

It lists the crates that are linked into the program (not what only builds it), with licence, purl and, for crates of the registry, the
SHA-256 that Cargo.lock pins. The same program and lock file give the same bytes.
"""

import argparse
import hashlib
import json
import re
import subprocess
import tomllib
import uuid

LINE = re.compile(r"^(?P<depth>\d+)\|(?P<name>\S+) v(?P<version>[^\s|]+)(?: \(.*?\))*\|(?P<license>[^|]*)\|?(?: \(\*\))?$")
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "bailiwick.dev")


def main():
    parser = argparse.ArgumentParser(description="Writes a CycloneDX bill of materials.")
    for option in ("--name", "--version", "--target", "--program"):
        parser.add_argument(option, required=True)
    parser.add_argument("selection", nargs="+", help="arguments that select the package and its features")
    arguments = parser.parse_args()
    crates, edges = tree(arguments.target, arguments.selection)
    root = next(iter(crates))
    print(json.dumps(document(arguments, root, crates, edges, checksums()), indent=2))


def tree(target, selection):
    """The crates by (name, version) with their licences, the root first, and who depends on whom."""
    # `{l}` is followed by a bar, so that the mark of a crate listed before can be told from it.
    command = ["cargo", "tree", "--locked", "--target", target, "--edges", "normal,no-proc-macro"]
    command += ["--prefix", "depth", "--format", "|{p}|{l}|", *selection]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    crates, edges, path = {}, {}, []
    for line in text.splitlines():
        found = LINE.match(line)
        if not found:
            if line.strip():
                raise SystemExit(f"cargo tree says what is not understood: {line!r}")
            continue
        crate = (found["name"], found["version"])
        crates.setdefault(crate, found["license"])
        edges.setdefault(crate, set())
        del path[int(found["depth"]) :]
        if path:
            edges[path[-1]].add(crate)
        path.append(crate)
    return crates, edges


def checksums():
    with open("Cargo.lock", "rb") as lock:
        packages = tomllib.load(lock)["package"]
    return {(package["name"], package["version"]): package["checksum"] for package in packages if "checksum" in package}


def reference(crate):
    return f"pkg:cargo/{crate[0]}@{crate[1].replace('+', '%2B')}"


def component(crate, licence, checksum):
    told = {
        "type": "library",
        "bom-ref": reference(crate),
        "name": crate[0],
        "version": crate[1],
        "scope": "required",
        "purl": reference(crate),
    }
    if licence:
        # Old manifests write `MIT/Apache-2.0`, which is no SPDX expression.
        told["licenses"] = [{"expression": " ".join(licence.replace("/", " OR ").split())}]
    if checksum:
        told["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return told


def document(arguments, root, crates, edges, pinned):
    with open(arguments.program, "rb") as program:
        content = hashlib.sha256(program.read()).hexdigest()
    subject = {
        "type": "application",
        "bom-ref": reference(root),
        "name": arguments.name,
        "version": arguments.version,
        "purl": reference(root),
        "licenses": [{"expression": crates[root]}],
        "hashes": [{"alg": "SHA-256", "content": content}],
    }
    listed = sorted(crate for crate in crates if crate != root)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(NAMESPACE, f"{arguments.name} {arguments.version} {content}").urn,
        "version": 1,
        "metadata": {"component": subject},
        "components": [component(crate, crates[crate], pinned.get(crate)) for crate in listed],
        "dependencies": [
            {"ref": reference(crate), "dependsOn": sorted(reference(each) for each in edges[crate])}
            for crate in [root, *listed]
        ],
    }


if __name__ == "__main__":
    main()
