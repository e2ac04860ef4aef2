"""The format strings that every seal is bound to: bytes sealed as one format open as no other."""

from __future__ import annotations

from typing import Final

DATASET: Final = "dataset/1"
ADAPTER: Final = "adapter/1"
MANIFEST: Final = "adapter-manifest/1"
SPEC: Final = "run-spec/1"
CHECKPOINT: Final = "checkpoint/1"
RESULT: Final = "result/1"
SAMPLE: Final = "sample/1"
CATALOGUE: Final = "catalogue/1"

# The strongroom's own.
HEADER: Final = "vault/1"
KEYRING: Final = "keyring/1"
AUDIT: Final = "audit/1"
CATALOGUE_ROOT: Final = "catalogue-root/1"

# What the sealed files of an object's folder hold: by file name, or by the folder that they lie in.
BY_FILE_NAME: Final = {
    "adapter.sealed": ADAPTER,
    "manifest.sealed": MANIFEST,
    "spec.sealed": SPEC,
    "result.sealed": RESULT,
}
# A running job keeps the latest few files of these folders and removes older ones.
CHECKPOINTS: Final = "checkpoints"
SAMPLES: Final = "samples"
BY_FOLDER: Final = {CHECKPOINTS: CHECKPOINT, SAMPLES: SAMPLE}
OF_OBJECTS: Final = (DATASET, ADAPTER, MANIFEST, SPEC, CHECKPOINT, RESULT, SAMPLE)
