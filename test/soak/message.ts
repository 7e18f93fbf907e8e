// What the messages of a soak hold: decided by the seed and the message's number, so that whoever reads one knows which
// it is and whether every byte is right. All sizes from nothing to a file that is kept beside the mail, and texts that
// mail programs like to change.

import { createCipheriv, createHash } from 'node:crypto'

import { sha256 } from '../peer.ts'
import { Dice } from './random.ts'

/** line: one line of text. record: what fits into a line of NDJSON. any: whatever there is. */
export type Shape = 'line' | 'record' | 'any'

export interface Content {
  text: Uint8Array | undefined
  files: { name: string | undefined; bytes: Uint8Array }[]
}

/** Share of the messages, and their size in bytes. A file of more than 10 MiB stands beside the mail. */
const SIZES: readonly [number, number, number][] = [
  [0.6, 0, 500],
  [0.22, 500, 16_000],
  [0.12, 16_000, 200_000],
  [0.046, 200_000, 1_000_000],
  [0.012, 1_000_000, 4_000_000],
  [0.002, 10_600_000, 12_000_000],
]
const SMALL = 3 // of these classes

function sizeOf(dice: Dice, classes: number): number {
  let left = dice.next() * SIZES.slice(0, classes).reduce((sum, [share]) => sum + share, 0)
  for (const [share, low, high] of SIZES) {
    if (left < share) return dice.between(low, high)
    left -= share
  }
  return 0
}

function noise(seed: number, n: number, part: number, size: number): Buffer {
  const key = createHash('sha256').update(`soak ${seed} ${n} ${part}`).digest()
  return createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16)).update(Buffer.alloc(size))
}

function text(seed: number, n: number, size: number, breaks: string): Uint8Array {
  const letters = noise(seed, n, 0, Math.ceil((size * 3) / 4)).toString('base64')
  const lines = letters.match(/.{1,70}/g) ?? []
  return Buffer.from(`soak ${n} äöü ${lines.join(breaks)}${n % 3 === 0 ? '' : breaks}`)
}

/** Message `n` of the run with this seed. */
export function contentOf(seed: number, n: number, shape: Shape): Content {
  const dice = new Dice(seed * 65_537 + n)
  if (shape === 'line') return { text: text(seed, n, sizeOf(dice, SMALL), ''), files: [] }
  const size = sizeOf(dice, shape === 'record' ? SMALL : SIZES.length)
  const files = dice.pick([0, 0, 1, 1, 2, 3])
  if (files === 0) return { text: text(seed, n, Math.min(size, 900_000), dice.pick(['\n', '\n', '\r\n', 'x'])), files: [] }
  const content: Content = { text: dice.chance(0.5) ? text(seed, n, dice.between(0, 400), '\n') : undefined, files: [] }
  for (let part = 1; part <= files; part++) {
    const bytes = part === 1 ? size : dice.between(0, 3000)
    content.files.push({ name: `soak-${n}-${part}.bin`, bytes: noise(seed, n, part, bytes) })
  }
  return content
}

/** One line that says everything about a message. */
export function digestOf({ text: words, files }: Content): string {
  const parts = files.map(({ name, bytes }) => `${name ?? ''}=${sha256(bytes)}`)
  return [words === undefined ? '-' : sha256(words), ...parts].join(' ')
}

/** Which message this is; undefined if none of a soak. */
export function numberOf({ text: words, files }: Content): number | undefined {
  const start = words === undefined ? '' : Buffer.from(words.subarray(0, 40)).toString()
  const n = /^soak (\d+) /.exec(start)?.[1] ?? /^soak-(\d+)-/.exec(files[0]?.name ?? '')?.[1]
  return n === undefined ? undefined : Number(n)
}
