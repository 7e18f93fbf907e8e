// One pass over the queue now, whatever the schedule says: each contact is dialled once, and both directions move over
// that one dial. With a listener running the pass is the listener's. To linger is to be a listener for a while, so
// that two homes without one meet.

import { sleep } from '../base/clock.ts'
import { EX, Failure } from '../base/fail.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Delivered } from '../disk/inbox.ts'
import type { Keyring } from '../disk/keyring.ts'
import { tryLock } from '../disk/lock.ts'
import { waiting } from '../disk/queueread.ts'
import { callContacts, type Called } from './calls.ts'
import { ask, type Message } from './control.ts'
import { askSoon, type DeliverOptions, newsOf, tellNews } from './deliver.ts'
import { Desk, type Job, type Outcome } from './desk.ts'
import { withHooks } from './hookpass.ts'
import { Recent } from './limits.ts'
import { Listener } from './listener.ts'
import { UNTOLD } from './listening.ts'
import { aborted } from './requests.ts'

/** The listener's pass is waited for so much longer than asked. */
const GRACE_MS = 1000

export interface FlushOptions extends Omit<DeliverOptions, 'ahead'> {
  config: Config
  /** The settings as they are on disk now. */
  reread: () => Promise<Config>
  /** After the pass this home stays reachable for so long; 0: it does not. */
  lingerMs: number
  onReceived: (message: Delivered, contact: Contact) => void
  /** Something a person should know; the pass goes on. */
  onNotice: (text: string) => void
  /** The pass is over; what follows is lingering. */
  onPassed?: () => void
}

/**
 * 'busy' if another process does this pass. Outcomes are told for messages that were waiting when it began, and for
 * whatever is delivered or given up while it lingers. Throws 78, after the pass, if it cannot linger since the port is
 * taken.
 */
export async function flushAll(
  home: Home,
  keyring: Keyring,
  contacts: Contact[],
  options: FlushOptions,
): Promise<'done' | 'busy'> {
  const jobs: Job[] = []
  for (const contact of contacts) {
    for (const queued of await waiting(home, contact.key)) jobs.push({ contact, queued })
  }
  const delivered = new Recent()
  const onOutcome = (outcome: Outcome): void => {
    if (delivered.has(outcome.queued.id)) return // found gone from the queue before its session said so
    if (outcome.type === 'delivered') delivered.add(outcome.queued.id)
    options.onOutcome(outcome)
  }
  const desk = new Desk(home.clock, jobs, onOutcome)
  const { waitMs, signal, lingerMs } = options
  const pass = new Pass(home, keyring, contacts, desk, { ...options, onOutcome })
  const request = { op: 'flush', keys: contacts.map(({ key }) => key) }
  const tell = (record: Message): void => pass.tell(record)
  const limits = { signal, timeoutMs: waitMs + GRACE_MS }
  if (!(await ask(home, request, limits, tell))) {
    const lock = await tryLock(home, 'flush', true)
    if (lock === undefined) return 'busy'
    try {
      if (lingerMs > 0) return await pass.linger()
      // Once all have been dialled the next pass may begin: a session that lasts concerns nobody but its contact.
      const { called, handedOver } = await pass.call(() => void lock.release())
      if (called === 0 && contacts.length > 0) return 'busy'
      if (handedOver) await askSoon(home, request, limits, tell)
    } finally {
      await lock.release()
    }
  }
  await desk.close(home)
  options.onPassed?.()
  return 'done'
}

/** A pass that this process does itself. */
class Pass {
  readonly #home: Home
  readonly #keyring: Keyring
  readonly #contacts: Contact[]
  readonly #desk: Desk
  /** Ids of what waited when it began: during the pass their outcomes are the desk's to tell. */
  readonly #meant: ReadonlySet<string>
  readonly #options: FlushOptions

  constructor(home: Home, keyring: Keyring, contacts: Contact[], desk: Desk, options: FlushOptions) {
    this.#home = home
    this.#keyring = keyring
    this.#contacts = contacts
    this.#desk = desk
    this.#meant = new Set(desk.jobs.map(({ queued }) => queued.id))
    this.#options = options
  }

  /** What a listener says of the pass. */
  tell(record: Message): void {
    if (record['type'] === 'away') this.#desk.tellRest(newsOf('deferred', record), String(record['key']))
    else tellNews(this.#desk, record, this.#options.onProgress)
  }

  /** Calls everybody once whom no other pass is still talking to; then the commands for what came, as long as they take. */
  call(onDialled?: () => void): Promise<Called> {
    return withHooks(this.#home, this.#keyring, this.#options, (add) =>
      callContacts(this.#home, this.#keyring, this.#contacts, this.#desk, {
        ...this.#options,
        receive: true,
        claim: ({ key }) => tryLock(this.#home, `flush.${key}`, true),
        ...(onDialled !== undefined && { onDialled }),
        onReceived: (message, contact) => {
          add(message)
          this.#options.onReceived(message, contact)
        },
      }),
    )
  }

  /** The pass as a listener does it, which goes on to listen. */
  async linger(): Promise<'done' | 'busy'> {
    const { signal, waitMs, lingerMs, onPassed } = this.#options
    const { clock } = this.#home
    let passed = false
    let ready = (): void => undefined
    const up = new Promise<void>((resolve) => (ready = resolve))
    const listener = this.#listener(ready, () => passed)
    const running = listener.run()
    running.catch(() => undefined) // awaited below
    try {
      await Promise.race([up, running])
      const over = new AbortController()
      const cancel = Number.isFinite(waitMs) ? clock.after(waitMs, () => over.abort()) : (): void => undefined
      const gone = AbortSignal.any([signal, over.signal])
      const keys = this.#contacts.map(({ key }) => key)
      const pass = listener.flush(keys, (record) => this.tell(record), gone)
      await Promise.race([pass, aborted(gone), running])
      cancel()
      await this.#desk.close(this.#home)
      passed = true
      onPassed?.()
      const ended = new AbortController() // it gave way to a listener that is there to stay
      void running.catch(() => undefined).finally(() => ended.abort())
      await sleep(clock, lingerMs, AbortSignal.any([signal, ended.signal]))
      listener.finish()
      await running
      return 'done'
    } catch (error) {
      if (!(error instanceof Failure) || passed) throw error
      if (error.exit === EX.TEMPORARY) return 'busy' // a listener has just begun
      if (error.exit === EX.CONFIG) await this.call()
      throw error
    }
  }

  #listener(onReady: () => void, passed: () => boolean): Listener {
    const meant = this.#meant
    const { config, reread, signal, onOutcome, onReceived, onProgress, onNotice } = this.#options
    return new Listener({
      home: this.#home,
      keyring: this.#keyring,
      config,
      reread,
      once: false,
      exec: undefined,
      call: false,
      guest: true,
      signal,
      ...UNTOLD,
      onReady,
      onMessage: onReceived,
      ...(onProgress !== undefined && { onProgress }),
      onDelivered(queued, contact, elapsedMs) {
        if (passed() || !meant.has(queued.id)) onOutcome({ type: 'delivered', queued, contact, elapsedMs })
      },
      onFailed(queued, contact, reason, text) {
        if (passed() || !meant.has(queued.id)) onOutcome({ type: 'refused', queued, contact, reason, text, elapsedMs: 0 })
      },
      onNotice,
    })
  }
}
