// Short writes: write(2) may do less than it was asked to, without an error. The next one of this process does half. To
// be loaded before anything takes node's functions to itself.

import fs from 'node:fs'

type Write = (fd: number, bytes: Uint8Array, offset: number, length: number, ...rest: never[]) => unknown

let due = false

export function shorten(): void {
  due = true
}

/** The same function with a shorter `length` when one is due; its properties tell util.promisify what it answers. */
function halving<F>(real: F): F {
  const half = (fd: number, bytes: Uint8Array, offset: number, length: number, ...rest: never[]): unknown => {
    const less = due && length > 1 ? length >> 1 : length
    due = false
    return (real as Write)(fd, bytes, offset, less, ...rest)
  }
  return Object.defineProperties(half, Object.getOwnPropertyDescriptors(real)) as F
}

fs.write = halving(fs.write)
fs.writeSync = halving(fs.writeSync)
