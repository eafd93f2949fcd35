// Writes auth_jose.json: tokens by jose, and twins of them that are broken in one thing each.
//
//     npm install jose@6.2.17 && node auth_jose.mjs
//
// Keys are made anew and forgotten; the file keeps their public halves. Tokens expire in 2100.

import { readFileSync, writeFileSync } from "node:fs";
import {
  CompactSign,
  EncryptJWT,
  SignJWT,
  UnsecuredJWT,
  base64url,
  exportJWK,
  exportSPKI,
  generateKeyPair,
} from "jose";

const issuer = "https://issuer.example";
const audience = "api";
const now = 1_790_000_000;
const end = 4_102_444_800;
const algorithms = [
  "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
];

const keys = {};
for (const algorithm of algorithms) {
  keys[algorithm] = await generateKeyPair(algorithm, { extractable: true });
}
const stranger = await generateKeyPair("ES256", { extractable: true });
const cases = [];

function add(name, token, accepted = false) {
  cases.push({ name, accepted, token });
}

function claims(changes = {}) {
  const own = {
    iss: issuer, aud: audience, sub: "u-1", iat: now, exp: end,
    roles: ["editor"], scope: "read write",
  };
  return Object.fromEntries(
    Object.entries({ ...own, ...changes }).filter(([, value]) => value !== undefined),
  );
}

function sign(algorithm, changes = {}, header = {}, key = keys[algorithm].privateKey) {
  return new SignJWT(claims(changes))
    .setProtectedHeader({ alg: algorithm, typ: "JWT", kid: algorithm.toLowerCase(), ...header })
    .sign(key);
}

function flip(text, at) {
  const bytes = base64url.decode(text);
  bytes[at < 0 ? bytes.length + at : at] ^= 1;
  return base64url.encode(bytes);
}

for (const algorithm of algorithms) {
  const token = await sign(algorithm);
  const [header, payload, signature] = token.split(".");
  const other = await sign(algorithm, { sub: "root" });
  add(algorithm, token, true);
  add(`${algorithm}: middle of the signature`, `${header}.${payload}.${flip(signature, 30)}`);
  add(`${algorithm}: shorter signature`, `${header}.${payload}.${signature.slice(0, -4)}`);
  add(`${algorithm}: other claims`, `${header}.${other.split(".")[1]}.${signature}`);
  add(`${algorithm}: other header`, `${flip(header, 20)}.${payload}.${signature}`);
  add(`${algorithm}: key of a stranger`, await sign(algorithm, {}, {},
    (await generateKeyPair(algorithm)).privateKey));
}

for (const [name, changes, accepted] of [
  ["several audiences", { aud: ["web", "api"] }, true],
  ["another issuer", { iss: "https://evil.example" }, false],
  ["another audience", { aud: ["web"] }, false],
  ["expired", { exp: now }, false],
  ["no expiry", { exp: undefined }, false],
  ["too early", { nbf: end - 1 }, false],
  ["issued in the future", { iat: end - 1 }, false],
  ["time that is an object", { nbf: {} }, false],
  ["expiry beyond all bounds", { exp: 1e300 }, false],
]) {
  add(name, await sign("ES256", changes), accepted);
}

for (const [name, header, accepted] of [
  ["type at+jwt", { typ: "at+jwt" }, true],
  ["type application/at+jwt", { typ: "application/at+jwt" }, true],
  ["no type", { typ: undefined }, true],
  ["type dpop+jwt", { typ: "dpop+jwt" }, false],
  ["unknown key", { kid: "stranger" }, false],
]) {
  add(name, await sign("ES256", {}, header), accepted);
}

const jwk = await exportJWK(stranger.publicKey);
add("embedded key", await sign("ES256", {}, { kid: "stranger", jwk }, stranger.privateKey));
add("embedded key under a known id", await sign("ES256", {}, { jwk }, stranger.privateKey));

const text = new TextEncoder().encode(JSON.stringify(claims()));
add("critical extension", await new CompactSign(text)
  .setProtectedHeader({ alg: "ES256", kid: "es256", crit: ["a"], a: 1 })
  .sign(keys.ES256.privateKey, { crit: { a: false } }));
add("unsecured", new UnsecuredJWT(claims()).encode());

const pem = new TextEncoder().encode(await exportSPKI(keys.RS256.publicKey));
add("HS256 with the public key as PEM", await sign("HS256", {}, { kid: "rs256" }, pem));
add("encrypted", await new EncryptJWT(claims())
  .setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM", kid: "rs256" })
  .encrypt((await generateKeyPair("RSA-OAEP-256")).publicKey));

const published = await Promise.all(algorithms.map(async (algorithm) => ({
  ...(await exportJWK(keys[algorithm].publicKey)),
  kid: algorithm.toLowerCase(),
  use: "sig",
  alg: algorithm,
})));
const { version } = JSON.parse(
  readFileSync(new URL("package.json", import.meta.resolve("jose/package.json"))),
);
const out = { made_by: `jose ${version}`, issuer, audience, jwks: { keys: published }, cases };
writeFileSync(new URL("auth_jose.json", import.meta.url), `${JSON.stringify(out, null, 1)}\n`);
