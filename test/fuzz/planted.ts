// Parsers with faults that only a search finds: what the loop is tested with. Blind inputs would need some 2^24 tries for
// the first.

import type { Target } from './target.ts'

function maze(input: Uint8Array): boolean {
  if (input[0] !== 0x70) return false
  if (input[1] !== 0x32) return false
  if (input.length < 6) return false
  if (input[5] === 0xe5) throw new TypeError('planted')
  return true
}

function pause(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

const plant = (name: string, fault: (input: Uint8Array) => boolean | Promise<boolean>): Target => ({
  name,
  max: 64,
  words: [],
  code: /\/planted\.ts$/,
  seeds: () => [new Uint8Array(6)],
  run: fault,
})

const held: unknown[] = []

export const PLANTED: Target[] = [
  plant('planted-throw', maze),
  plant('planted-slow', (input) => {
    if (input[0] === 0x71) pause(80)
    return false
  }),
  plant('planted-hang', (input) => {
    if (input[0] === 0x72) for (;;);
    return false
  }),
  plant('planted-memory', (input) => {
    if (input[0] === 0x73) for (;;) held.push(new Array(10_000).fill(held.length))
    return false
  }),
  plant('planted-bytes', (input) => {
    if (input[0] === 0x74) held.push(new Uint8Array(2 << 20).fill(1)) // more at once is slow on a busy machine, and found as that
    return false
  }),
]
