"""Makes tokens-pyjwt.json, and takes what we make.

    python3 -m venv venv && venv/bin/pip install pyjwt cryptography
    venv/bin/python mint.py > ../golden/v1/tokens-pyjwt.json    # once; the file is committed
    venv/bin/python mint.py verify ../golden/v1/token-ours.txt   # PyJWT takes ours
"""
import base64
import json
import sys

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER = Ed25519PrivateKey.from_private_bytes(bytes([0x51] * 32))
DEVICE = Ed25519PrivateKey.from_private_bytes(bytes([0x52] * 32))


def raw(key):
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def thumbprint(key):
    import hashlib

    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": text(raw(key))}, separators=(",", ":"))
    return text(hashlib.sha256(members.encode()).digest())


CLAIMS = {
    "tenant": "acme",
    "doc": "notes/",
    "rights": ["read", "write"],
    "exp": 2_000_000_000,
    "nbf": 1_700_000_000,
    "iat": 1_700_000_000,
    "jti": "4f1c",
    "sub": "user:ann",
    "iss": "https://id.example",
    "aud": ["selvedge-sync", "other"],
}
JWK = {"kty": "OKP", "crv": "Ed25519", "x": text(raw(DEVICE))}


def mint(confirmation, headers=None):
    return jwt.encode({**CLAIMS, "cnf": confirmation}, ISSUER, algorithm="EdDSA", headers=headers)


def main():
    pem = serialization.Encoding.PEM
    private = ISSUER.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = ISSUER.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    vectors = {
        "by": f"PyJWT {jwt.__version__}",
        "issuer_private_pem": private.decode(),
        "issuer_public_pem": public.decode(),
        "issuer_public_jwk": jwt.algorithms.OKPAlgorithm.to_jwk(ISSUER.public_key()),
        "device": raw(DEVICE).hex(),
        "key": mint({"jwk": JWK}, {"kid": thumbprint(ISSUER)}),
        "thumbprint": mint({"jkt": thumbprint(DEVICE)}),
    }
    print(json.dumps(vectors, indent=2))


def verify(path):
    with open(path) as file:
        token = file.read().strip()
    options = {"require": ["exp", "jti", "sub"]}
    claims = jwt.decode(token, ISSUER.public_key(), ["EdDSA"], options=options, audience=None)
    assert claims["cnf"]["jwk"] == JWK, claims
    assert jwt.get_unverified_header(token)["kid"] == thumbprint(ISSUER)
    print("PyJWT takes it:", json.dumps(claims))


if sys.argv[1:2] == ["verify"]:
    verify(sys.argv[2])
else:
    main()
