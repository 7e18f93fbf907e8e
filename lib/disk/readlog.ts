// Which received messages were told to be read: read.log, one id a line, appended and fsynced after the receipt is safe in
// the queue. Its first line says since when receipts are wanted: what came before is never told. A receipt that a crash
// kept out of it goes once more, and says the same.

import { appendRecords, readText } from './durable.ts'
import type { Home } from './home.ts'

const NAME = 'read.log'

export interface ReadLog {
  /** Unix us: only what was received later. */
  since: bigint
  /** First 32 digits of ids. */
  told: Set<string>
}

/** What was told so far; begins the log if there is none, or none that can be read. */
export async function readLog(home: Home): Promise<ReadLog> {
  const text = (await readText(home.files, home.at(NAME))) ?? ''
  const since = /^since (\d{1,18})$/m.exec(text)?.[1]
  if (since === undefined) {
    const now = home.clock.micros()
    await appendRecords(home.files, home.at(NAME), [`since ${now}`], true)
    await home.files.syncDir(home.path)
    return { since: now, told: new Set() }
  }
  return { since: BigInt(since), told: new Set(text.match(/^[0-9a-f]{32}(?=[0-9a-f]{32}$)/gm) ?? []) }
}

/** These ids are told. */
export async function noteRead(home: Home, ids: string[]): Promise<void> {
  await appendRecords(home.files, home.at(NAME), ids, true)
}
