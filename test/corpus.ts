// What a hostile contact may say: the published corpus in test/corpus, the lists of others where they are at hand, and
// heads of messages as no encoder of ours would write them.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { utf8, Writer } from '../lib/base/bytes.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { ChunkHasher } from '../lib/wire/envelope.ts'
import { readVectors, skipped, vectorsAt } from './vectors.ts'

type Group = 'terminal' | 'header' | 'bidi' | 'path' | 'type' | 'reaction' | 'unicode' | 'header_json' | 'header_json_taken'

const OWN = JSON.parse(readFileSync(fileURLToPath(new URL('corpus/hostile.json', import.meta.url)), 'utf8')) as Record<
  Group,
  string[]
>

/** Texts of these groups of our corpus. */
export function corpus(...groups: Group[]): string[] {
  return groups.flatMap((group) => OWN[group])
}

/** Every text that may stand in a subject, a name, a body: ours, and the list of naughty strings. */
export function everyText(): string[] {
  const others = JSON.parse(readVectors('strings/blns.json') ?? '[]') as string[]
  return [...new Set([...corpus('terminal', 'header', 'bidi', 'path', 'type', 'reaction', 'unicode'), ...others])]
}

/** The files of JSONTestSuite: name and bytes; those that begin with y_ are JSON, with n_ none. */
export function jsonFiles(): [string, Uint8Array][] {
  const folder = vectorsAt('json/test_parsing')
  if (existsSync(folder)) return readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(`${folder}/${name}`))])
  skipped('no json/test_parsing (set P2P_VECTORS)')
  return []
}

/** Must not reach a terminal: controls but line feed and tab, what reorders or hides, half a character. */
export const DANGEROUS =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\u206a-\u206f\ufeff\ufff9-\ufffb]|\p{Cs}/u

export interface RawHead {
  magic?: Uint8Array
  from: Uint8Array
  to: Uint8Array
  created?: bigint
  bodySize?: bigint
  root?: Uint8Array
  /** Of the JSON header. */
  header: Uint8Array | string
  headerLength?: number
}

/** A message of these bytes, whatever they say, under the id that they have. */
export function rawEnvelope(head: RawHead, body: Uint8Array): { id: string; bytes: Uint8Array; size: number } {
  const header = typeof head.header === 'string' ? utf8(head.header) : head.header
  const hasher = new ChunkHasher(nodeSuite)
  hasher.update(body)
  const bytes = new Writer()
    .bytes(head.magic ?? utf8('p2pm\x01'))
    .bytes(nodeSuite.hash(utf8(`salt ${counter++}`)).subarray(0, 16))
    .bytes(head.from)
    .bytes(head.to)
    .u64(head.created ?? BigInt(Date.now()) * 1000n)
    .u64(head.bodySize ?? BigInt(body.length))
    .bytes(head.root ?? hasher.root())
    .u16(head.headerLength ?? header.length)
    .bytes(header)
  const id = Buffer.from(nodeSuite.hash(bytes.finish().slice())).toString('hex')
  const all = Buffer.concat([bytes.finish(), body])
  return { id, bytes: new Uint8Array(all), size: all.length }
}

let counter = 0
