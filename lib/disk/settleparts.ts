// Between the record in the seen log and the mail in the inbox a message is only in part/. Who copies log and inbox
// without part/ must not come in between: what dead receivers have left there is placed, and living ones are waited for.

import { sleep } from '../base/clock.ts'
import { EX, Failure } from '../base/fail.ts'
import { loadConfig } from './config.ts'
import { Inbox } from './inbox.ts'
import { loadKeyring } from './keyring.ts'
import { partPath } from './place.ts'
import { Seen } from './seen.ts'
import { parseEntry } from './takeover.ts'

import type { Hash } from '../wire/envelope.ts'
import type { Home } from './home.ts'

const WAIT_MS = 30_000 // a receiver needs milliseconds for this, on a slow disk seconds
const POLL_MS = 20

/** Resolves when every message that was in the log at the beginning is in the inbox. Throws Failure 75 after 30 s. */
export async function settleParts(home: Home, hash: Hash): Promise<void> {
  if ((await home.files.list(home.at('part'))).length === 0) return
  const keyring = await loadKeyring(home)
  const config = await loadConfig(home, process.env)
  const hooks = (key: string): boolean => config.hooksOf(keyring, key) !== undefined
  await (await Inbox.open(home, hash, keyring.self, { hooks })).close()
  const seen = await Seen.open(home)
  try {
    const deadline = home.clock.monotonic() + WAIT_MS
    for (const key of await home.files.list(home.at('part'))) {
      for (const name of await home.files.list(home.at('part', key))) {
        const entry = parseEntry(name)
        if (entry === undefined || (await seen.find(key, entry.id))?.tag !== entry.tag) continue
        const path = partPath(home, { key, ...entry })
        while ((await home.files.stat(path)) !== undefined) {
          if (home.clock.monotonic() > deadline) throw new Failure(EX.TEMPORARY, `${path} does not get into the inbox`)
          await sleep(home.clock, POLL_MS)
        }
      }
    }
  } finally {
    await seen.close()
  }
}
