// Makes tokens-jose.json, and takes what we make.
//
//     npm install jose
//     node mint.mjs > ../golden/v1/tokens-jose.json             # once; the file is committed
//     node mint.mjs verify ../golden/v1/token-ours.txt           # jose takes ours
import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { SignJWT, calculateJwkThumbprint, exportJWK, exportPKCS8, exportSPKI, jwtVerify } from "jose";

const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const privateKey = (byte) =>
  createPrivateKey({ key: Buffer.concat([PKCS8, Buffer.alloc(32, byte)]), format: "der", type: "pkcs8" });
const issuer = privateKey(0x51);
const device = createPublicKey(privateKey(0x52));
const issuerJwk = await exportJWK(createPublicKey(issuer));
const deviceJwk = await exportJWK(device);

const claims = { tenant: "acme", doc: "notes/", rights: ["read", "write"], jti: "4f1c", sub: "user:ann" };
const mint = (alg, cnf, kid) =>
  new SignJWT({ ...claims, cnf })
    .setProtectedHeader(kid ? { alg, kid, typ: "JWT" } : { alg })
    .setExpirationTime(2_000_000_000)
    .setNotBefore(1_700_000_000)
    .setIssuedAt(1_700_000_000)
    .setAudience("selvedge-sync")
    .sign(issuer);

if (process.argv[2] === "verify") {
  const token = readFileSync(process.argv[3], "utf8").trim();
  const { payload, protectedHeader } = await jwtVerify(token, createPublicKey(issuer), {
    algorithms: ["EdDSA"],
    currentDate: new Date(1_800_000_000_000),
  });
  if (payload.cnf.jwk.x !== deviceJwk.x) throw new Error("another device");
  if (protectedHeader.kid !== (await calculateJwkThumbprint(issuerJwk))) throw new Error("another key");
  console.log("jose takes it:", JSON.stringify(payload));
} else {
  const by = JSON.parse(readFileSync(new URL(import.meta.resolve("jose/package.json")), "utf8")).version;
  console.log(
    JSON.stringify(
      {
        by: `jose ${by}`,
        issuer_private_pem: await exportPKCS8(issuer),
        issuer_public_pem: await exportSPKI(createPublicKey(issuer)),
        issuer_public_jwk: JSON.stringify(issuerJwk),
        device: Buffer.from(deviceJwk.x, "base64url").toString("hex"),
        key: await mint("EdDSA", { jwk: deviceJwk }, await calculateJwkThumbprint(issuerJwk)),
        thumbprint: await mint("Ed25519", { jkt: await calculateJwkThumbprint(deviceJwk) }),
      },
      null,
      2,
    ),
  );
}
