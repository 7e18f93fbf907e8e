// The call that follows a first contact's taking in: at once, for some seconds, through the listener of this home if one
// runs. Nothing depends on it: what it does not reach, the next call of that contact does.

import { sleep } from '../base/clock.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import { attempt } from './attempt.ts'
import { ask } from './control.ts'
import { Station } from './station.ts'

/** So long a person waits for the first answer. */
export const GREET_MS = 5000

/** Between two looks whether the listener has met the contact. */
const LOOK_MS = 50

/** Undefined once the two have met, else why not, for people. Throws what this side's disk threw. */
export async function firstCall(
  home: Home,
  keyring: Keyring,
  contact: Contact,
  options: { config: Config; signal: AbortSignal },
): Promise<string | undefined> {
  const { clock } = home
  const late = new AbortController()
  const cancel = clock.after(GREET_MS, () => late.abort(), true)
  const over = AbortSignal.any([options.signal, late.signal])
  try {
    return await call(home, keyring, contact, options.config, over)
  } finally {
    cancel()
  }
}

async function call(home: Home, keyring: Keyring, contact: Contact, config: Config, over: AbortSignal): Promise<string | undefined> {
  const slow = `${contact.name} did not answer in time`
  let trouble: string | undefined
  const request = { op: 'flush', keys: [contact.key] }
  const byListener = await ask(home, request, { signal: over }, ({ type, text }) => {
    if (type === 'away') trouble = typeof text === 'string' ? text : slow
  })
  if (byListener) {
    while (trouble === undefined) {
      const now = (await loadKeyring(home)).byKey(contact.key)
      if (now?.introduced === undefined) return undefined
      if (over.aborted) return slow
      await sleep(home.clock, LOOK_MS, over)
    }
    return trouble
  }
  const station = await Station.open(home, keyring, { config })
  try {
    const met = await attempt(station, contact, {
      receive: false,
      timeoutMs: GREET_MS,
      signal: over,
      onSession: (session) => over.addEventListener('abort', () => session.abort(), { once: true }),
    })
    return met.reached ? undefined : met.trouble.text
  } finally {
    await station.close()
  }
}
