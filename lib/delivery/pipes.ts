// The listener's part in pipes, p2p-wire(7): it hands frames on between the sessions of a contact and the p2p-pipe
// commands of this home, and knows no more of a pipe than its id. Bytes, offsets and acknowledgements are the commands'
// business, so that nothing counts as arrived before the command at the other end has passed it on.

import type { Clock } from '../base/clock.ts'
import { Malformed } from '../base/fail.ts'
import { DATA_MAX, type PipeFrame, RESET } from '../wire/frame.ts'
import type { Channel } from './channel.ts'
import type { Trouble } from './peers.ts'
import type { Session } from './session.ts'

/** An OPEN that nobody here answers is held for so long, then refused. */
const HELD_MS = 30_000

/** OPENs held of one contact. */
const HELD_MAX = 4

/** A contact that is not there is called again after so long while a command waits for it. */
const AGAIN_MS = 2000

/** What a contact may have under way to a command that takes nothing: more than any window. */
const BACKLOG_MAX = 16 << 20

/** Pipes that are done, whose other end may not have heard so. */
const DONE_MAX = 64

/** Answers to one session that wait to leave: who asks and does not read must not fill our memory. */
const ANSWERS_MAX = 64

/** A p2p-pipe of this home. */
interface Local {
  key: string
  channel: Channel
  /** Of the pipe that it has opened last. */
  id: string | undefined
  /** Both sides have opened it. */
  matched: boolean
  session: Session | undefined
  /** Its last word of what it has passed on. */
  credit: PipeFrame | undefined
}

interface Held {
  frame: PipeFrame & { type: 'open' }
  cancel: () => void
  /** The one command that may take this name; two that did would be one pipe. */
  shownTo: Local | undefined
}

export interface PipesOptions {
  clock: Clock
  /** The session with a contact, dialling if there is none. */
  reach: (key: string) => Promise<Session | Trouble>
  /** The session with a contact, now or as soon as there is one; undefined once `signal` has fired. */
  arrival: (key: string, signal: AbortSignal) => Promise<Session | undefined>
}

export class Pipes {
  readonly #options: PipesOptions
  readonly #locals = new Set<Local>()
  /** By KEY and id. */
  readonly #held = new Map<string, Map<string, Held>>()
  /** By KEY and id: the last CREDIT of commands that ended well. */
  readonly #done = new Map<string, PipeFrame>()
  readonly #answers = new WeakMap<Session, number>()
  #stopped = false

  constructor(options: PipesOptions) {
    this.#options = options
  }

  /** Serves a command that wants a pipe to the contact KEY, until it ends. */
  async attach(key: string, channel: Channel): Promise<void> {
    const local: Local = { key, channel, id: undefined, matched: false, session: undefined, credit: undefined }
    this.#locals.add(local)
    const connecting = this.#connect(local)
    let done = false
    try {
      for (;;) {
        const word = channel.next() ?? (await channel.receive())
        if (word === undefined) break
        if (word.type === 'done') done = true
        else if (word.type !== 'up' && word.type !== 'down') await this.#outwards(local, word)
      }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
    } finally {
      this.#locals.delete(local)
      this.#show(key)
      if (done) this.#remember(local)
      else if (local.id !== undefined) void local.session?.sendPipe(reset(local.id, RESET.ENDED)).catch(() => undefined)
      channel.end()
      await connecting
    }
  }

  /** A frame of a contact. False: out of turn. */
  take(frame: PipeFrame, session: Session): boolean {
    const { key } = session.contact
    if (frame.type === 'reset') this.#forget(key, frame.id)
    const credit = this.#done.get(`${key} ${frame.id}`)
    if (credit !== undefined) {
      if (frame.type === 'open' || frame.type === 'eof') {
        this.#answer(session, credit)
        this.#answer(session, reset(frame.id, RESET.DONE))
      }
      return true
    }
    const local = [...this.#locals].find((each) => each.key === key && each.id === frame.id)
    if (local === undefined) return this.#forNobody(frame, session)
    if (local.channel.backlog > BACKLOG_MAX) return false
    void local.channel.send(frame)
    if (frame.type === 'open' && !local.matched) this.#match(local)
    return true
  }

  /** A command that has ended cannot say its last word again, should a session have ended with it. */
  #remember({ key, id, credit }: Local): void {
    if (id === undefined || credit === undefined) return
    this.#done.set(`${key} ${id}`, credit)
    for (const oldest of this.#done.keys()) if (this.#done.size > DONE_MAX) this.#done.delete(oldest)
  }

  #match(local: Local): void {
    local.matched = true
    this.#show(local.key)
  }

  /** Shows each OPEN that is held to one command that waits for a pipe and was shown no other one. */
  #show(key: string): void {
    const held = [...(this.#held.get(key)?.values() ?? [])]
    const waits = (local: Local): boolean => this.#locals.has(local) && local.key === key && !local.matched
    for (const entry of held) {
      if (entry.shownTo !== undefined && waits(entry.shownTo)) continue
      entry.shownTo = [...this.#locals].find((local) => waits(local) && held.every(({ shownTo }) => shownTo !== local))
      void entry.shownTo?.channel.send(entry.frame)
    }
  }

  /** No more calls for commands that wait. */
  stop(): void {
    this.#stopped = true
    for (const { channel } of this.#locals) channel.end()
    for (const held of this.#held.values()) for (const { cancel } of held.values()) cancel()
  }

  #forNobody(frame: PipeFrame, session: Session): boolean {
    if (frame.type === 'open') this.#hold(frame, session)
    else if (frame.type === 'stream' || frame.type === 'eof') this.#gone(session, frame.id)
    return true
  }

  #hold(frame: PipeFrame & { type: 'open' }, session: Session): void {
    const { key } = session.contact
    const held = this.#held.get(key) ?? new Map<string, Held>()
    this.#held.set(key, held)
    const before = held.get(frame.id)
    before?.cancel()
    if (held.size >= HELD_MAX && !held.has(frame.id)) return this.#gone(session, frame.id)
    const cancel = this.#options.clock.after(
      HELD_MS,
      () => {
        this.#forget(key, frame.id)
        if (![...this.#locals].some((local) => local.id === frame.id)) this.#gone(session, frame.id)
      },
      true,
    )
    const entry: Held = { frame, cancel, shownTo: before?.shownTo }
    held.set(frame.id, entry)
    this.#show(key)
    void session.ended.then(() => held.get(frame.id) === entry && this.#forget(key, frame.id)) // it is said again
  }

  #forget(key: string, id: string): boolean {
    const held = this.#held.get(key)
    held?.get(id)?.cancel()
    const was = held?.delete(id) ?? false
    if (held?.size === 0) this.#held.delete(key)
    return was
  }

  /** From the command to the contact. What finds no session is lost: the command says it again on the next one. */
  async #outwards(local: Local, frame: PipeFrame): Promise<void> {
    if (frame.type === 'open') {
      local.matched &&= local.id === frame.id
      local.id = frame.id
      if (this.#forget(local.key, frame.id)) this.#match(local)
    }
    if (frame.type === 'credit') local.credit = frame
    const { session } = local
    // A large frame was made for an earlier session: from where this one goes on the command says all again.
    if (session === undefined || (frame.type === 'stream' && frame.bytes.length > DATA_MAX && !session.large)) return
    await session.sendPipe(frame).catch(() => undefined)
  }

  #gone(session: Session, id: string): void {
    this.#answer(session, reset(id, RESET.GONE))
  }

  #answer(session: Session, frame: PipeFrame): void {
    const waiting = this.#answers.get(session) ?? 0
    if (waiting >= ANSWERS_MAX) return
    this.#answers.set(session, waiting + 1)
    const over = (): void => void this.#answers.set(session, (this.#answers.get(session) ?? 1) - 1)
    void session.sendPipe(frame).then(over, over)
  }

  /** Keeps a session for a command as long as it lives. */
  async #connect(local: Local): Promise<void> {
    const { channel, key } = local
    const left = new Promise<void>((resolve) => {
      if (channel.closed.aborted) resolve()
      channel.closed.addEventListener('abort', () => resolve(), { once: true })
    })
    while (!channel.closed.aborted && !this.#stopped) {
      const reached = await this.#options.reach(key)
      if (!('contact' in reached)) {
        void channel.send({ type: 'down', why: reached.text })
        await Promise.race([left, this.#called(key)])
        continue
      }
      await reached.ready
      if (!reached.pipes) {
        // A p2p-send or a flush, which is gone in a moment; a version without pipes is there until the time is over.
        void channel.send({ type: 'down', why: 'what runs there now has no pipes' })
        await Promise.race([left, reached.ended])
        continue
      }
      local.session = reached
      void channel.send(reached.large ? { type: 'up', large: true } : { type: 'up' })
      this.#show(key)
      await Promise.race([left, reached.ended])
      local.session = undefined
      void channel.send({ type: 'down', why: 'the connection broke' })
    }
  }

  /** Resolves when the contact has called, or when it is time to call again. */
  async #called(key: string): Promise<void> {
    const over = new AbortController()
    const cancel = this.#options.clock.after(AGAIN_MS, () => over.abort(), true)
    await this.#options.arrival(key, over.signal)
    cancel()
  }
}

function reset(id: string, code: number): PipeFrame {
  return { type: 'reset', id, code }
}
