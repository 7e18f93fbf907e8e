// Signatures of identities, over tokens only. One verifier with one meaning: a public key is canonical, not of small
// order and in the prime-order subgroup, then RFC 8032 without ZIP 215's tolerance. Always noble, whatever the suite:
// OpenSSL answers differently on hundreds of edge cases, and two answers would be two names for one key.

import { type Random } from '../base/random.ts'

const PUBLIC_KEY = 32 // bytes
const SIGNATURE = 64
const SEED = 32
const WINDOW = 4 // bits of the base point's table: noble's default of 6 takes 20 ms longer for the first operation

// 35 ms to import: only when a token is made or checked
async function load() {
  const { ed25519 } = await import('@noble/curves/ed25519.js')
  ed25519.Point.BASE.precompute(WINDOW) // remembered by noble; a table is built at the first use only
  return ed25519
}

type Curve = Awaited<ReturnType<typeof load>>

let loading: Promise<Curve> | undefined

function curve(): Promise<Curve> {
  loading ??= load()
  return loading
}

function validPoint(ed25519: Curve, publicKey: Uint8Array): boolean {
  if (publicKey.length !== PUBLIC_KEY) return false
  try {
    const point = ed25519.Point.fromBytes(publicKey, false) // false: RFC 8032 section 5.1.3, canonical only
    return !point.isSmallOrder() && point.isTorsionFree()
  } catch {
    return false
  }
}

function checkSeed(seed: Uint8Array): void {
  if (seed.length !== SEED) throw new RangeError(`Ed25519 seed is ${seed.length} bytes, not ${SEED}`)
}

/** True for the one canonical encoding of a point of prime order. Any length may be given. */
export async function isValidPublicKey(publicKey: Uint8Array): Promise<boolean> {
  return validPoint(await curve(), publicKey)
}

/** True if the key is valid as above and the signature is its own over `message`; never throws on foreign bytes. */
export async function verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): Promise<boolean> {
  const ed25519 = await curve()
  if (signature.length !== SIGNATURE || !validPoint(ed25519, publicKey)) return false
  return ed25519.verify(signature, message, publicKey, { zip215: false })
}

/** RFC 8032 section 5.1.6: the 64-byte signature of `message` by the key of a 32-byte seed. */
export async function sign(message: Uint8Array, seed: Uint8Array): Promise<Uint8Array> {
  checkSeed(seed)
  return (await curve()).sign(message, seed)
}

/** RFC 8032 section 5.1.5: the public key of a seed. Some 20 ms the first time: store it beside the seed. */
export async function publicKeyOf(seed: Uint8Array): Promise<Uint8Array> {
  checkSeed(seed)
  return (await curve()).getPublicKey(seed)
}

/** A fresh identity: 32 bytes. */
export function generateSeed(random: Random): Uint8Array {
  return random.bytes(SEED)
}
