// p2p-punch(1): a way through the NATs between this machine and a contact's, shown to work, and everything that waits
// moved through it. Through the listener of this home; without one this process is it for as long as that lasts.

import { EX, Failure } from '../base/fail.ts'
import { parseDuration, printable } from '../base/text.ts'
import { loadConfig } from '../disk/config.ts'
import { checkSendable, type Contact } from '../disk/contact.ts'
import { openHome, type Home } from '../disk/home.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import { list, names } from '../disk/queueread.ts'
import type { Call } from '../edge/cli.ts'
import { natWords } from '../net/verdict.ts'
import { parseAddress } from '../wire/address.ts'
import { type PunchInfo, punchRecord, type TriedWay } from '../wire/netrecord.ts'
import { STUN_PORT } from '../wire/stun.ts'
import { ask, findListener, type Message } from './control.ts'
import { askSoon, tellNews } from './deliver.ts'
import { Desk, type Job } from './desk.ts'
import { Listener } from './listener.ts'
import { UNTOLD } from './listening.ts'
import { isRefusal, tellOutcome } from './telling.ts'

/** With --slot the next meeting is at most so far away. */
const TIMEOUT = '30s'
const SLOT_TIMEOUT = '20m'

/** The owner of the port ends at the timeout by itself; it is waited for so much longer. */
const GRACE_MS = 2000

/** p2p-punch. */
export async function punch(call: Call): Promise<void> {
  if (call.flag('status')) {
    if (call.args.length > 0) throw new Failure(EX.USAGE, "'--status' is about this machine and takes no NAME", 'p2p-punch --help')
    const { netView } = await import('./netview.ts')
    return netView(call)
  }
  const home = await openHome({ flag: call.value('home'), env: process.env })
  const keyring = await loadKeyring(home)
  const [name] = call.args
  if (name === undefined) throw call.missing('NAME')
  const contact = keyring.resolve(name)
  checkSendable(contact)
  for (const server of call.values('stun')) parseAddress(server, STUN_PORT)
  const timeoutMs = parseDuration(call.value('timeout') ?? (call.flag('slot') ? SLOT_TIMEOUT : TIMEOUT)) * 1000
  await new Punching(call, home, keyring, contact, timeoutMs).run()
}

interface Limits {
  signal: AbortSignal
  timeoutMs: number
}

class Punching {
  readonly #call: Call
  readonly #home: Home
  readonly #keyring: Keyring
  readonly #contact: Contact
  readonly #timeoutMs: number
  /** What is told is told in order. */
  #told = Promise.resolve()
  #stopWaiting = (): void => undefined
  #desk: Desk | undefined
  #outcome: PunchInfo | undefined
  #complete = false

  constructor(call: Call, home: Home, keyring: Keyring, contact: Contact, timeoutMs: number) {
    this.#call = call
    this.#home = home
    this.#keyring = keyring
    this.#contact = contact
    this.#timeoutMs = timeoutMs
  }

  async run(): Promise<void> {
    const { signal } = this.#call
    const home = this.#home
    const contact = this.#contact
    const waits = (await names(home, contact.key)).length > 0
    const jobs = waits ? (await list(home, contact.key)).map((queued): Job => ({ contact, queued })) : []
    this.#desk = new Desk(home.clock, jobs, (outcome) => {
      if (isRefusal(outcome)) this.#call.exit(EX.REFUSED)
      this.#tell(() => tellOutcome(this.#call.out, outcome))
    })
    const wait = Number.isFinite(this.#timeoutMs) ? this.#timeoutMs / 1000 : -1
    const request = { op: 'punch', key: contact.key, wait, stun: this.#call.values('stun'), ...this.#flags('keep', 'slot', 'birthday', 'map') }
    this.#step(`looking for a way to ${contact.name}`)
    try {
      await this.#ask(request)
    } finally {
      this.#stopWaiting()
    }
    if (!signal.aborted) await this.#conclude()
    await this.#told
  }

  #flags(...flags: string[]): Record<string, boolean> {
    return Object.fromEntries(flags.map((flag) => [flag, this.#call.flag(flag)]))
  }

  /** The listener does it; without one, a listener of this process. */
  async #ask(request: Message): Promise<void> {
    const { signal } = this.#call
    const limits = { signal, timeoutMs: this.#call.flag('keep') ? Infinity : this.#timeoutMs + GRACE_MS }
    const take = (record: Message): void => this.#take(record)
    if ((await ask(this.#home, request, limits, take)) || signal.aborted) return
    if ((await findListener(this.#home)) !== undefined) {
      throw new Failure(EX.TEMPORARY, 'the running p2p-listen is older and cannot punch, or does not answer', 'restart p2p-listen')
    }
    try {
      await this.#listen(request, limits, take)
    } catch (error) {
      if (!(error instanceof Failure) || error.exit !== EX.TEMPORARY) throw error
      await askSoon(this.#home, request, limits, take) // a listener has just begun: it serves us
    }
  }

  /** Throws Failure 75 if a listener has just begun, 78 if another program has the port. */
  async #listen(request: Message, limits: Limits, take: (record: Message) => void): Promise<void> {
    const { signal } = this.#call
    const config = await loadConfig(this.#home, process.env)
    let ready = (): void => undefined
    const up = new Promise<void>((resolve) => (ready = resolve))
    const listener = new Listener({
      home: this.#home,
      keyring: this.#keyring,
      config,
      reread: () => loadConfig(this.#home, process.env),
      once: false,
      exec: undefined,
      call: false,
      only: this.#contact.key,
      guest: true,
      signal,
      ...UNTOLD,
      onReady: () => ready(),
      onNotice: (text) => this.#call.warn(text),
    })
    const running = listener.run()
    running.catch(() => undefined) // awaited below
    await Promise.race([up, running])
    await Promise.race([listener.punch(request, take, signal), running])
    listener.finish()
    await running
    // A listener that is there to stay has taken over: what is left is its work.
    if ((this.#outcome === undefined || this.#call.flag('keep')) && !signal.aborted) await askSoon(this.#home, request, limits, take)
  }

  /** What the owner of the port says. */
  #take(record: Message): void {
    const { type, text } = record
    const { name, key } = this.#contact
    if (type === 'step') return this.#step(String(text))
    if (type === 'warning') return this.#call.warn(String(text))
    if (type === 'open' || type === 'closed') {
      this.#stopWaiting()
      const { v: _, type: __, ...facts } = record
      this.#outcome = { ...(facts as unknown as PunchInfo), name, key, open: type === 'open' }
      const info = this.#outcome
      this.#tell(() => this.#call.out.record(punchRecord(info), () => this.#lines(info)))
    } else if (type === 'flushed') {
      this.#complete = record['complete'] === true
      if (this.#call.flag('keep')) this.#step(`holding the way to ${name}`)
    } else if (type === 'lost' || type === 'back') {
      const { over, address } = record
      const peer = { v: 1, type: 'peer', name, key, state: type === 'lost' ? 'down' : 'up', over, address }
      this.#tell(() => this.#call.out.record(peer, () => printable(`${name}  ${type}`)))
    } else if (this.#desk !== undefined) {
      tellNews(this.#desk, record)
    }
  }

  #tell(work: () => Promise<void>): void {
    this.#told = this.#told.then(work)
  }

  #step(text: string): void {
    this.#stopWaiting()
    this.#stopWaiting = this.#call.waiting(text)
  }

  /** The exit code, and words for a person. */
  async #conclude(): Promise<void> {
    const { name } = this.#contact
    const { open, text = 'the listener has ended' } = this.#outcome ?? {}
    if (open !== true) {
      await this.#told
      const hint = this.#call.flag('explain') ? undefined : `p2p-punch ${name} --explain`
      throw new Failure(EX.UNREACHABLE, printable(`no way to ${name}: ${text}`), hint)
    }
    await this.#desk?.close(this.#home)
    if (this.#complete) return
    const left = (await names(this.#home, this.#contact.key)).length
    this.#call.tell(`${name} was reached, but time was over before everything had been moved: ${left} wait here`)
    this.#call.exit(EX.TEMPORARY)
  }

  /** For a terminal. */
  #lines(info: PunchInfo): string {
    const { name, open, over = '', address = '', elapsed = 0, rtt, text = '', advice = [], nat, tried, probes = 0 } = info
    const head = open
      ? `${name}  open  ${over} ${address}  ${(elapsed / 1000).toFixed(1)} s${rtt === undefined ? '' : `  rtt ${(rtt / 1000).toFixed(3)} s`}`
      : `${name}  no way  ${text}`
    if (!this.#call.flag('explain')) return open ? printable(head) : ''
    const ways = tried.map((way) => `  ${way.address}  ${wayWords(way)}`)
    const lines = [
      head,
      ...(ways.length > 0 ? ['tried:', ...ways] : []),
      ...(probes > 0 ? [`  ${probes} other ports`] : []),
      `your router: ${natWords(nat.own)}`,
      `the router of ${name}: ${natWords(nat.peer)}`,
      ...(advice.length > 0 ? ['what would help:', ...advice.map((each) => `  ${each}`)] : []),
    ]
    return lines.map(printable).join('\n')
  }
}

/** `UDP: 3 openers and 3 hellos sent, 0 seen`, `TCP: timeout`. */
function wayWords({ over, openers = 0, hellos = 0, seen = 0, reason = '' }: TriedWay): string {
  if (over === 'tcp') return `TCP: ${reason}`
  const sent = [`${openers} ${openers === 1 ? 'opener' : 'openers'}`, `${hellos} ${hellos === 1 ? 'hello' : 'hellos'}`]
  return `UDP: ${sent.join(' and ')} sent, ${seen} seen`
}
