"""Writes a tiny OCI image layout and prints the digest of its manifest.

    make_image.py DIRECTORY TEXT

The image holds one file, `greeting`, with TEXT in it; another text makes another digest.
The same text makes the same bytes: no clock, no user and no path goes into the image.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path


class Layout:
    """An OCI image layout being written: blobs by digest, then the index."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.blobs = directory / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)

    def add_blob(self, media_type: str, content: bytes) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        (self.blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def finish(self, manifest: dict) -> None:
        tagged = {**manifest, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
        index = {"schemaVersion": 2, "manifests": [tagged]}
        (self.directory / "index.json").write_bytes(as_json(index))
        (self.directory / "oci-layout").write_bytes(as_json({"imageLayoutVersion": "1.0.0"}))


def as_json(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def tar_with_greeting(text: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        greeting = tarfile.TarInfo("greeting")
        greeting.size = len(text.encode())
        tar.addfile(greeting, io.BytesIO(text.encode()))
    return archive.getvalue()


def write_image(directory: Path, text: str) -> str:
    layout = Layout(directory)
    files = tar_with_greeting(text)
    # Compressed here, because skopeo would compress a plain layer and so change the digest.
    layer = layout.add_blob(
        "application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(files, mtime=0)
    )
    config = layout.add_blob(
        "application/vnd.oci.image.config.v1+json",
        as_json(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [f"sha256:{hashlib.sha256(files).hexdigest()}"],
                },
            }
        ),
    )
    media_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = layout.add_blob(
        media_type,
        as_json(
            {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]}
        ),
    )
    layout.finish(manifest)
    return manifest["digest"]


if __name__ == "__main__":
    print(write_image(Path(sys.argv[1]), sys.argv[2]))
