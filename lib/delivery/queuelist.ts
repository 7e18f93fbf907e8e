// p2p-queue list, and how every other verb tells of a message: what is waiting, held back or given up, oldest first.

import { localTime } from '../base/text.ts'
import { loadHash } from '../crypto/suite.ts'
import { EX } from '../base/fail.ts'
import { openHome, type Home } from '../disk/home.ts'
import { loadKeyring, type Keyring } from '../disk/keyring.ts'
import { STATES, type Queued } from '../disk/queued.ts'
import { readLog, type LogState } from '../disk/queuelog.ts'
import { keys, listed, names } from '../disk/queueread.ts'
import type { Call } from '../edge/cli.ts'
import { ndjson } from '../edge/output.ts'
import type { Hash } from '../wire/envelope.ts'
import { queuedRecord } from '../wire/outrecord.ts'
import { describeQueued } from './queueview.ts'
import { words } from './telling.ts'

/** Messages read before they are told: memory stays small however long the queue. */
export const PAGE = 256

export interface Desk {
  call: Call
  home: Home
  keyring: Keyring
  hash: Hash
}

export async function openDesk(call: Call): Promise<Desk> {
  const home = await openHome({ flag: call.value('home'), env: process.env })
  return { call, home, keyring: await loadKeyring(home), hash: await loadHash(process.env) }
}

export async function list(call: Call): Promise<void> {
  const desk = await openDesk(call)
  let count = 0
  for (const key of await keys(desk.home)) {
    const log = await readLog(desk.home, key)
    for (const state of STATES) {
      const all = await names(desk.home, key, state)
      for (let at = 0; at < all.length; at += PAGE) {
        if (call.over) return
        const page = await listed(desk.home, desk.hash, key, state, all.slice(at, at + PAGE))
        await call.out.records(page.map(({ queued, subject }) => told(desk, queued, subject, log)))
        count += page.length
      }
    }
  }
  if (count === 0 && call.quiet) call.exit(EX.NEGATIVE)
}

/** Under which name the owner of a KEY is told. */
export function nameOf({ keyring }: Desk, key: string): string {
  return keyring.byKey(key)?.name ?? (key === keyring.self.key ? 'me' : key)
}

/** The record of a message, with `more` in it, and its line. */
export function told(desk: Desk, queued: Queued, subject: string | undefined, log: LogState, more: object = {}): Told {
  const to = nameOf(desk, queued.key)
  const info = describeQueued(to, queued, subject, log)
  return {
    json: () => ndjson({ ...queuedRecord(info), ...more }),
    human() {
      const { state, id, attempts = 0 } = info
      const why = info.text ?? info.reason ?? ''
      const tried = attempts === 0 ? '' : `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}: ${why}`
      const parts = [state === 'failed' ? why : tried, subject === undefined ? '' : `(${subject})`]
      const when = localTime(Number(queued.created / 1000n))
      return `${when}  ${words(to, state, id, parts.filter((part) => part !== '').join('  '))}`
    },
  }
}

interface Told {
  json: () => string
  human: () => string
}
