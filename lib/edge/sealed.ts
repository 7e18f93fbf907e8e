// What keeps the memory of this process to itself: it holds keys. Files are the owner's alone, no signal opens a
// debugger, a core dump holds nothing. Where the system has no such switch, the service file of p2p-id setup has one.

import { writeFileSync } from 'node:fs'

/** Call it first of all. Commands that are run for messages inherit umask and filter. */
export function sealProcess(): void {
  process.umask(0o077)
  process.on('SIGUSR1', () => undefined) // without a listener node opens its debugger, to everybody on this machine
  try {
    writeFileSync('/proc/self/coredump_filter', '0') // core(5): no mapping is written; node cannot set RLIMIT_CORE
  } catch {
    // not Linux, or a /proc that cannot be written to
  }
}
