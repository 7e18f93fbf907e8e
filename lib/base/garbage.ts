// What V8 does beside a program, told otherwise where that is too much. Ciphers give out a fresh array for each message;
// V8 looks for those that are over after every 32 MiB of them and has another thread free them meanwhile. On a busy
// machine that thread lags, and the arrays of two or three such rounds lie about.

import { setFlagsFromString } from 'node:v8'

let tidy = false
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
