// p2p-pipe(1): standard input to a contact, and what comes from there to standard output. Through the listener of this
// home; without one this process is it for as long as the pipe lasts, so that the contact can call.

import { sleep } from '../base/clock.ts'
import { EX, Failure } from '../base/fail.ts'
import { parseDuration } from '../base/text.ts'
import { loadConfig } from '../disk/config.ts'
import { checkSendable, type Contact } from '../disk/contact.ts'
import { openHome, type Home } from '../disk/home.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import type { Call } from '../edge/cli.ts'
import { Input, stdinIsTerminal, stopInput } from '../edge/input.ts'
import { type Channel, channelPair } from './channel.ts'
import { openChannel } from './control.ts'
import { Listener } from './listener.ts'
import { UNTOLD } from './listening.ts'
import { PipeEnd } from './pipeend.ts'

/**
 * Between two looks for a listener after the one that served us has ended. It may have been another command, as guest: one
 * that is not back by then is replaced, and takes its place again when it comes.
 */
const AGAIN_MS = 500
const REPLACE_MS = 3000

/** p2p-pipe. */
export async function pipe(call: Call): Promise<void> {
  if (call.quiet) throw new Failure(EX.USAGE, "with '-q' nothing is written to standard output", 'p2p-pipe --help')
  const home = await openHome({ flag: call.value('home'), env: process.env })
  const keyring = await loadKeyring(home)
  const contact = keyring.resolve(call.args[0] as string)
  checkSendable(contact)
  const piping = new Piping(call, home, keyring, contact)
  const stop = call.waiting(`waiting for ${contact.name}`)
  try {
    await piping.run(stop)
  } finally {
    stop()
  }
}

class Piping {
  readonly #call: Call
  readonly #home: Home
  readonly #keyring: Keyring
  readonly #contact: Contact
  readonly #end: PipeEnd
  #channel: Channel | undefined
  #listener: { listener: Listener; running: Promise<void> } | undefined
  /** When the last channel ended. */
  #lost: number | undefined
  #over = false

  constructor(call: Call, home: Home, keyring: Keyring, contact: Contact) {
    this.#call = call
    this.#home = home
    this.#keyring = keyring
    this.#contact = contact
    this.#end = new PipeEnd({
      clock: home.clock,
      random: home.random,
      self: keyring.self.identity,
      peer: contact.identity,
      name: contact.name,
      input: this.#input(),
      output: (parts) => this.#call.out.raw(...parts),
      outputEnd: () => this.#call.out.end(),
      send: async (frame) => this.#channel?.send(frame),
      timeoutMs: parseDuration(call.value('timeout') ?? '30s') * 1000,
      last: () => this.#listener !== undefined,
    })
  }

  /** `onFirst` is called with the first sign of the other side. */
  async run(onFirst: () => void): Promise<void> {
    const { signal, out } = this.#call
    const interrupted = (): void => this.#end.fail(signal.reason)
    signal.addEventListener('abort', interrupted, { once: true })
    const unread = new Failure(EX.IO, 'standard output was closed before everything had come through')
    out.closed.addEventListener('abort', () => this.#end.fail(unread), { once: true })
    const done = this.#end.run()
    const connected = this.#connect(onFirst).catch((error: unknown) => this.#end.fail(error))
    try {
      await done
      await out.flush()
      await this.#channel?.send({ type: 'done' })
    } finally {
      this.#over = true
      stopInput(new Error('the pipe is over'))
      this.#channel?.end()
      await connected
      this.#listener?.listener.finish()
      await this.#listener?.running.catch(() => undefined)
    }
  }

  /** Nothing of a terminal unless that is a conversation: `p2p-pipe bob | tar x` is only to receive. */
  #input(): (into: Uint8Array) => Promise<number> {
    if (stdinIsTerminal() && !this.#call.out.terminal) return () => Promise.resolve(0)
    const input = new Input()
    return (into) => input.read(into)
  }

  async #connect(onFirst: () => void): Promise<void> {
    while (!this.#over) {
      const channel = await this.#reach()
      if (this.#over) channel?.end() // the time was over before there was one to be ended
      this.#channel = channel
      if (channel !== undefined) await this.#serve(channel, onFirst)
      if (channel !== undefined) this.#lost = this.#home.clock.monotonic()
      this.#channel = undefined
      if (this.#over) return
      this.#end.down('the listener here has ended')
      await sleep(this.#home.clock, AGAIN_MS, this.#call.signal)
    }
  }

  async #serve(channel: Channel, onFirst: () => void): Promise<void> {
    for (;;) {
      const word = channel.next() ?? (await channel.receive())
      if (word === undefined) return
      if (word.type === 'up') {
        this.#end.up(word.large)
      } else if (word.type === 'down') {
        this.#end.down(word.why)
      } else if (word.type !== 'done') {
        if (word.type === 'stream' || word.type === 'credit') onFirst()
        this.#end.take(word)
      }
    }
  }

  /** The listener's, or one of our own. */
  async #reach(): Promise<Channel | undefined> {
    const request = { op: 'pipe', key: this.#contact.key }
    const old = new Failure(EX.TEMPORARY, 'the running p2p-listen is older and has no pipes', 'restart p2p-listen')
    const own = this.#ownChannel()
    if (own !== undefined) return own
    let channel = await openChannel(this.#home, request)
    const soon = this.#lost !== undefined && this.#home.clock.monotonic() - this.#lost < REPLACE_MS
    if (channel === undefined && this.#listener === undefined && !soon) {
      await this.#listen()
      channel = this.#ownChannel() ?? (await openChannel(this.#home, request))
    }
    if (channel === 'refused') throw old
    return channel
  }

  #ownChannel(): Channel | undefined {
    if (this.#listener === undefined) return undefined
    const [near, far] = channelPair()
    return this.#listener.listener.pipe(this.#contact.key, far) ? near : undefined
  }

  /** Resolves when it listens. Throws Failure 78 if the port is taken by another program. */
  async #listen(): Promise<void> {
    const home = this.#home
    const config = await loadConfig(home, process.env)
    let ready = (): void => undefined
    const up = new Promise<void>((resolve) => (ready = resolve))
    const listener = new Listener({
      home,
      keyring: this.#keyring,
      config,
      reread: () => loadConfig(home, process.env),
      once: false,
      exec: undefined,
      call: false,
      patient: true, // what is asked of a router is to be taken back, which takes its time if that one does not answer
      guest: true,
      signal: new AbortController().signal,
      ...UNTOLD,
      onReady: () => ready(),
      onNotice: (text) => this.#call.warn(text),
    })
    const running = listener.run()
    this.#listener = { listener, running }
    running.catch(() => undefined)
    try {
      await Promise.race([up, running])
    } catch (error) {
      this.#listener = undefined
      if (!(error instanceof Failure) || error.exit !== EX.TEMPORARY) throw error // one has just begun: it serves us
    }
  }
}
