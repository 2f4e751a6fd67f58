"""Loads exactly the model that the operator named: by its URI, its digest and its version."""

import hashlib

from . import storage
from .errors import InputError
from .model import Model, from_bytes

# Role of a model -> where its version and its digest were given.
GIVEN_BY = {
    "MODEL": ("RECOMMENDER_VERSION", "RECOMMENDER_MODEL_DIGEST"),
    "BASE": ("RECOMMENDER_BASE_VERSION", "RECOMMENDER_BASE_DIGEST"),
    "FILE": ("RECOMMENDER_VERSION_FILE", "RECOMMENDER_VERSION_FILE"),
}


def load(version: str, uri: str, digest: str, role: str) -> tuple[Model, bytes]:
    """The model at `uri` and its stored form, or an `InputError` unless it is exactly the one that was promised."""
    version_by, digest_by = GIVEN_BY[role]
    data = storage.read(uri)
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise InputError(
            f"the artifact at {uri} has the digest {found}, not {digest} as told by {digest_by}: "
            "it was replaced or damaged after training; train a new version"
        )
    model = from_bytes(data)
    if model.version != version:
        raise InputError(f"the artifact at {uri} holds version {model.version!r}, not {version!r} as {version_by} says")
    return model, data
