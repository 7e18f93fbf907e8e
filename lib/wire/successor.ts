// Successors, p2p-wire(7), KEYS: extension 03 of a token says that its identity takes the place of an older one, signed by
// both. It is shown and never believed: whoever has stolen the older key can sign it as well. Pure.

import { concat, Reader, utf8, Writer } from '../base/bytes.ts'

/** The type of the extension. */
export const EXT_SUCCESSOR = 0x03

/** Bytes of its value. */
export const SUCCESSOR_SIZE = 32 + 8 + 64

interface Extension {
  readonly type: number
  readonly value: Uint8Array
}

export interface Successor {
  /** I of the older identity. */
  readonly old: Uint8Array
  /** Unix milliseconds when it was signed. */
  readonly seq: bigint
  /** By the older identity, over statement(). */
  readonly signature: Uint8Array
}

const LABEL = utf8('p2p/1 successor')

/** What the older identity signs; the newer one signs the token that carries it. */
export function statement(old: Uint8Array, successor: Uint8Array, seq: bigint): Uint8Array {
  return concat(LABEL, old, successor, new Writer().u64(seq).finish())
}

export function successorExtension({ old, seq, signature }: Successor): Extension {
  return { type: EXT_SUCCESSOR, value: new Writer().bytes(old).u64(seq).bytes(signature).finish() }
}

/** What a token says of an older identity; undefined if nothing. verifyToken has checked both signatures. */
export function successorOf(token: { readonly ext: readonly Extension[] }): Successor | undefined {
  const extension = token.ext.find(({ type }) => type === EXT_SUCCESSOR)
  if (extension === undefined) return undefined
  const reader = new Reader(extension.value)
  return { old: reader.bytes(32).slice(), seq: reader.u64(), signature: reader.bytes(64).slice() }
}
