// Clocks of single processes that can be set while they run, by libfaketime: what the program asks the system for as
// the time of day. The clock that only goes forward, and with it every timer, stays right.

import { existsSync, writeFileSync } from 'node:fs'

const LIBRARIES = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketime.so.1`)

/** The library, if it is installed. */
export const FAKETIME = LIBRARIES.find((path) => existsSync(path))

/** The environment of a process whose clock is told by this file; it begins so many days from now. */
export function clockEnv(path: string, days: number): Record<string, string> {
  if (FAKETIME === undefined) throw new Error('libfaketime is not installed')
  setClock(path, days)
  return {
    LD_PRELOAD: FAKETIME,
    FAKETIME_TIMESTAMP_FILE: path,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    NO_FAKE_STAT: '1',
  }
}

export function setClock(path: string, days: number): void {
  writeFileSync(path, `${days < 0 ? '' : '+'}${days}d\n`)
}
