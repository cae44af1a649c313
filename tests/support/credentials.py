"""Keys and kubeconfigs for the control plane, without a cryptography library."""

import base64
import secrets

import yaml

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def private_key() -> str:
    """A P-256 key in SEC 1 form (RFC 5915), in which the public half may be left out: the reader derives it."""
    scalar = (secrets.randbelow(P256_ORDER - 1) + 1).to_bytes(32, "big")
    der = bytes.fromhex("30310201010420") + scalar + bytes.fromhex("a00a06082a8648ce3d030107")
    body = base64.b64encode(der).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n"


def kubeconfig(*, url: str, ca: bytes, user: str, token: str, namespace: str) -> str:
    """A self-contained kubeconfig: it refers to no other file, so it may be copied anywhere."""
    cluster = {"server": url, "certificate-authority-data": base64.b64encode(ca).decode()}
    context = {"cluster": "accountsync", "user": user, "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "accountsync", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "accountsync", "context": context}],
        "current-context": "accountsync",
    }
    return yaml.safe_dump(document)
