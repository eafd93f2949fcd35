#!/usr/bin/env python3
"""Writes auth_pyjwt.json: tokens by PyJWT, and twins of them that are broken in one thing each.

    pip install 'PyJWT[crypto]==2.15.1' && python3 auth_pyjwt.py

Keys are made anew and forgotten; the file keeps their public halves. Tokens expire in 2100.
"""

import base64
import hashlib
import hmac
import json
import pathlib

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, AUDIENCE = "https://issuer.example", "api"
NOW, END = 1_790_000_000, 4_102_444_800


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes):
    own = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "u-1", "iat": NOW, "exp": END,
        "roles": ["editor"], "scope": "read write",
    }
    own.update(changes)
    return {name: value for name, value in own.items() if value is not None}


RSA = rsa.generate_private_key(65537, 2048)
KEYS = {
    "RS256": RSA, "RS384": RSA, "RS512": RSA, "PS256": RSA, "PS384": RSA, "PS512": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
STRANGER = ec.generate_private_key(ec.SECP256R1())


def jwk(algorithm: str, key, kid: str) -> dict:
    own = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key()))
    own.pop("key_ops", None)
    return {**own, "kid": kid, "use": "sig", "alg": algorithm}


def encode(algorithm, payload=None, kid=None, key=None, **header):
    header = {"kid": kid or algorithm.lower(), **header}
    payload = claims() if payload is None else payload
    if isinstance(payload, bytes):
        return jwt.PyJWS().encode(payload, key or KEYS[algorithm], algorithm, headers=header)
    return jwt.encode(payload, key or KEYS[algorithm], algorithm, headers=header)


def parts(token):
    return token.split(".")


def resigned(algorithm, header: dict, payload: bytes) -> str:
    """A token with any header at all, signed by the key of `algorithm`."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    signature = jwt.get_algorithm_by_name(algorithm).sign(signed.encode(), KEYS[algorithm])
    return f"{signed}.{b64(signature)}"


def hmac_by(secret: bytes, header: dict) -> str:
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims()).encode())}"
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def flipped(text: str, at: int) -> str:
    data = bytearray(base64.urlsafe_b64decode(text + "=="))
    data[at] ^= 1
    return b64(bytes(data))


cases = []


def case(name, token, accepted=False):
    cases.append({"name": name, "accepted": accepted, "token": token})


for algorithm in KEYS:
    token = encode(algorithm)
    header, payload, signature = parts(token)
    case(algorithm, token, True)
    case(f"{algorithm}: first byte of the signature", f"{header}.{payload}.{flipped(signature, 0)}")
    case(f"{algorithm}: last byte of the signature", f"{header}.{payload}.{flipped(signature, -1)}")
    case(f"{algorithm}: no signature", f"{header}.{payload}.")
    case(f"{algorithm}: signature of other claims",
         f"{header}.{parts(encode(algorithm, claims(sub='root')))[1]}.{signature}")
    case(f"{algorithm}: key of another", encode(algorithm, kid="es256" if algorithm != "ES256" else "es384"))
    case(f"{algorithm}: unknown key", encode(algorithm, kid="stranger"))
    case(f"{algorithm}: padding", f"{header}.{payload}.{signature}==")
    case(f"{algorithm}: fourth part", f"{token}.{signature}")

for symmetric, secret in {
    "PEM": RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    "DER": RSA.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    "JWK": json.dumps(jwk("RS256", RSA, "rs256")).encode(),
    "nothing": b"",
}.items():
    case(f"HS256 with the public key as {symmetric}",
         hmac_by(secret, {"alg": "HS256", "typ": "JWT", "kid": "rs256"}))

unsigned = jwt.encode(claims(), None, "none", headers={"kid": "es256"})
case("none", unsigned)
for spelling in ["None", "NONE", "nOnE"]:
    header = b64(json.dumps({"alg": spelling, "kid": "es256"}).encode())
    case(f"none as {spelling}", f"{header}.{parts(unsigned)[1]}.")
case("none with the signature of ES256",
     f"{parts(unsigned)[0]}.{parts(encode('ES256'))[1]}.{parts(encode('ES256'))[2]}")

stranger = jwk("ES256", STRANGER, "stranger")
case("embedded key", encode("ES256", key=STRANGER, kid="stranger", jwk=stranger))
case("embedded key under a known id", encode("ES256", key=STRANGER, jwk=stranger))
case("key behind a URL", encode("ES256", key=STRANGER, kid="stranger", jku="https://evil.example/jwks"))
case("certificate behind a URL", encode("ES256", key=STRANGER, kid="stranger", x5u="https://evil.example/c"))
case("hints of a known key are not looked at", encode("ES256", jku="https://evil.example/jwks"), True)

for name, changes, accepted in [
    ("several audiences", {"aud": ["web", "api"]}, True),
    ("fractions of seconds", {"exp": END + 0.5, "iat": NOW + 0.25}, True),
    ("no subject", {"sub": None}, True),
    ("another issuer", {"iss": "https://issuer.example/"}, False),
    ("no issuer", {"iss": None}, False),
    ("another audience", {"aud": "web"}, False),
    ("no audience", {"aud": None}, False),
    ("expired", {"exp": NOW}, False),
    ("no expiry", {"exp": None}, False),
    ("too early", {"nbf": END - 1}, False),
    ("issued in the future", {"iat": END - 1}, False),
]:
    case(name, encode("ES256", claims(**changes)), accepted)

text = json.dumps(claims())
case("raw payload", encode("ES256", text.encode()), True)
for name, payload in {
    "issuer that is no text": json.dumps({**claims(), "iss": [ISSUER]}),
    "expiry that is text": json.dumps({**claims(), "exp": str(END)}),
    "time that is text": json.dumps({**claims(), "nbf": "now"}),
    "subject that is a number": json.dumps({**claims(), "sub": 1}),
    "claim twice": text[:-1] + ', "sub": "root"}',
    "claim twice by escape": text[:-1] + ', "\\u0073ub": "root"}',
    "claim twice further down": text[:-1] + ', "a": {"b": 1, "b": 2}}',
    "list": f"[{text}]",
    "text after the claims": text + "{}",
    "no JSON": text[:-1],
    "field in the subject": json.dumps({**claims(), "sub": "u\r\nx-user-role: admin"}),
    "blank before the subject": json.dumps({**claims(), "sub": " u-1"}),
    "two roles in one": json.dumps({**claims(), "roles": ["editor,admin"]}),
    "bound to a key": json.dumps({**claims(), "cnf": {"jkt": "a"}}),
}.items():
    case(name, encode("ES256", payload.encode()))

case("type at+jwt", encode("ES256", typ="at+jwt"), True)
case("no type", resigned("ES256", {"alg": "ES256", "kid": "es256"}, text.encode()), True)
case("no key id", resigned("EdDSA", {"alg": "EdDSA"}, text.encode()), True)
case("Ed25519", resigned("EdDSA", {"alg": "Ed25519", "kid": "eddsa"}, text.encode()), True)
case("type logout+jwt", encode("ES256", typ="logout+jwt"))
case("critical extension", encode("ES256", crit=["exp"], exp=END))
for name, header in {
    "empty list of critical extensions": {"alg": "ES256", "kid": "es256", "crit": []},
    "payload not encoded": {"alg": "ES256", "kid": "es256", "b64": False},
    "no algorithm": {"kid": "es256"},
    "algorithm in a list": {"alg": ["ES256"], "kid": "es256"},
    "algorithm in lower case": {"alg": "es256", "kid": "es256"},
    "key id that is a number": {"alg": "ES256", "kid": 1},
    "long key id": {"alg": "ES256", "kid": "a" * 300},
    "algorithm of a longer curve": {"alg": "ES384", "kid": "es256"},
}.items():
    case(name, resigned("ES256", header, text.encode()))
case("PS256 where the key says RS256", resigned("PS256", {"alg": "PS256", "kid": "rs256"}, text.encode()))
case("RS256 where the key says PS256", resigned("RS256", {"alg": "RS256", "kid": "ps256"}, text.encode()))
case("JSON serialisation", json.dumps({
    "protected": parts(encode("ES256"))[0], "payload": parts(encode("ES256"))[1],
    "signature": parts(encode("ES256"))[2]}))
case("too long", encode("ES256", claims(filler="x" * 16_384)))

out = {
    "made_by": f"PyJWT {jwt.__version__}",
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "jwks": {"keys": [jwk(algorithm, key, algorithm.lower()) for algorithm, key in KEYS.items()]},
    "cases": cases,
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n")
