// What V8 does beside a program, told otherwise where that is too much. Ciphers give out a fresh array for each message;
// V8 looks for those that are over after every 32 MiB of them and has another thread free them meanwhile. On a busy
// machine that thread lags, and the arrays of two or three such rounds lie about.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Less is left to V8: what giving it back costs is more than what it holds. */
const WORTH = 16 * 1024

/** What may stand in the same memory before bytes that are given back, and nothing behind them: the head of their frame. */
const HEAD_MAX = 64

type Transfer = (this: ArrayBuffer, size: number) => ArrayBuffer

let tidy = false
let transfer: Transfer | undefined
let small = false
let late = false

/**
 * For a process that moves much: what is over is freed at once, by whoever finds it. 40 to 60 MiB less at the peak of
 * 4 GiB, and no slower. Not at the start: V8 believes no cache of a program that was made under other flags.
 */
export function freeAtOnce(): void {
  if (tidy) return
  tidy = true
  setFlagsFromString('--no-concurrent-array-buffer-sweeping')
  transfer = findTransfer()
}

/**
 * Gives the memory of `bytes` back now, in a process that has called freeAtOnce(): the next array has the same, still in
 * the processor's cache, where V8 would fill 20 MiB with such arrays before it looks for those that are over. Only who
 * has the last array of this memory may call it. Memory that holds more than these bytes and their head stays.
 */
export function discard(bytes: Uint8Array): void {
  const { buffer } = bytes
  const alone = bytes.byteOffset <= HEAD_MAX && bytes.byteOffset + bytes.length === buffer.byteLength
  if (transfer !== undefined && alone && bytes.length >= WORTH && buffer instanceof ArrayBuffer) transfer.call(buffer, 0)
}

/** ArrayBuffer.prototype.transfer: the V8 of node 20 has it, but gives it only to those who ask. */
function findTransfer(): Transfer | undefined {
  const { transfer: known } = ArrayBuffer.prototype as { transfer?: Transfer }
  if (known !== undefined || !process.versions.node.startsWith('20.')) return known
  setFlagsFromString('--harmony-rab-gsab-transfer')
  const found = runInNewContext('ArrayBuffer.prototype.transfer') as Transfer | undefined
  setFlagsFromString('--no-harmony-rab-gsab-transfer')
  return found
}

/**
 * For a process that reads very much and keeps little of it: the room for what has just been made stays as it is, where
 * V8 would double it again and again up to 48 MiB. 15 to 35 MiB less at the peak of a look at 100,000 messages, and no
 * slower. Not at the start, as above.
 */
export function keepSmall(): void {
  if (small) return
  small = true
  setFlagsFromString('--semi-space-growth-factor=1')
}

/**
 * For a process that does a few thousand small things. Node 20 makes machine code of what runs often within milliseconds,
 * in other threads, which take half of all time before that pays: here only of what runs fifteen times as often.
 */
export function compileLate(): void {
  if (late || !process.versions.node.startsWith('20.')) return // later ones wait by themselves, and know no such word
  late = true
  setFlagsFromString('--interrupt-budget=1000000')
}
