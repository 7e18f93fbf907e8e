// Replay protection for the first handshake message, p2p-wire(7), REPLAY. hello/last holds the newest timestamp this
// home has sent, hello/KEY the last ones received from a contact. A timestamp is noted durably before it is answered;
// neither rule depends on the two clocks agreeing.

import { hex, utf8 } from '../base/bytes.ts'
import { fraction } from '../base/random.ts'
import { appendRecords, readText, replaceFile, unlessFull } from './durable.ts'
import type { Home } from './home.ts'
import { withLock } from './lock.ts'

/** Timestamps remembered for each contact and transport key; older ones are refused once there are so many. */
const WINDOW = 1024

/** Lines after which a contact's file is written anew. */
const LINES_MAX = 4 * WINDOW

/** About a second, in microseconds: hides the order of two hellos and the exact clock. */
const JITTER = 2 ** 20

/** A timestamp (unix microseconds) above every one this home has used, whatever the clock does. */
export function nextHelloTime(home: Home): Promise<bigint> {
  const stamp = async (): Promise<bigint> => {
    const path = home.at('hello', 'last')
    const text = (await readText(home.files, path)) ?? ''
    const last = /^\d{1,18}\n$/.test(text) ? BigInt(text.trim()) : 0n
    const now = home.clock.micros()
    const next = (now > last ? now : last + 1n) + BigInt(Math.floor(fraction(home.random) * JITTER))
    // On a full disk what waits is to go, so that there is room. Not noted, it matters only if the clock is set back, too.
    await unlessFull(() => replaceFile(home.files, home.random, path, utf8(`${next}\n`)))
    return next
  }
  return withLock(home, 'hello', stamp, { overtake: true })
}

/** A contact's file: its size, its lines, and the timestamps by transport key, ascending. */
interface State {
  size: number
  lines: number
  times: Map<string, bigint[]>
}

/** What contacts have sent. One per listening process; another process's lines are read when the file has grown. */
export class HelloLog {
  readonly #home: Home
  readonly #known = new Map<string, State>()
  /** Lines that the disk is too full for, by KEY: this process remembers them, and writes them with the next. */
  readonly #unwritten = new Map<string, string[]>()
  #queue: Promise<unknown> = Promise.resolve()

  constructor(home: Home) {
    this.#home = home
  }

  /** True once for each new timestamp of a contact and transport key, noted durably; false for a replay. */
  accept(key: string, transport: Uint8Array, ts: bigint): Promise<boolean> {
    const turn = this.#queue.then(() => this.#accept(key, hex(transport.subarray(0, 8)), ts))
    this.#queue = turn.catch(() => undefined)
    return turn
  }

  async #accept(key: string, transport: string, ts: bigint): Promise<boolean> {
    const path = this.#home.at('hello', key)
    const state = await this.#load(key, path)
    const times = state.times.get(transport) ?? []
    const full = times.length >= WINDOW
    if (times.includes(ts) || (full && ts <= (times[0] as bigint))) return false
    const lines = [...(this.#unwritten.get(key) ?? []), `${transport} ${ts}`]
    // A full disk must not keep a contact from fetching what waits here, nor from hearing that it is full.
    if (await unlessFull(() => appendRecords(this.#home.files, path, lines, true))) {
      this.#unwritten.delete(key)
      if (state.size === 0) await this.#home.files.syncDir(this.#home.at('hello'))
      state.lines += lines.length
      state.size = (await this.#home.files.stat(path))?.size ?? 0
    } else {
      this.#unwritten.set(key, lines.slice(-WINDOW))
    }
    state.times.set(transport, insert(times, ts))
    if (state.lines > LINES_MAX) await unlessFull(() => this.#compact(path, state, transport))
    return true
  }

  async #load(key: string, path: string): Promise<State> {
    const size = (await this.#home.files.stat(path))?.size ?? 0
    const held = this.#known.get(key)
    if (held?.size === size) return held
    const state = { size, lines: 0, times: new Map<string, bigint[]>() }
    const text = size === 0 ? '' : Buffer.from(await this.#home.files.read(path)).toString('latin1')
    for (const line of [...text.split('\n'), ...(this.#unwritten.get(key) ?? [])]) {
      const match = /^([0-9a-f]{16}) (\d{1,20})$/.exec(line)
      if (match === null) continue
      const [, transport, ts] = match as unknown as [string, string, string]
      state.times.set(transport, insert(state.times.get(transport) ?? [], BigInt(ts)))
      state.lines++
    }
    this.#known.set(key, state)
    return state
  }

  /** Only for the contact's present key: it is answered under no other, however many it has had. */
  async #compact(path: string, state: State, transport: string): Promise<void> {
    state.times = new Map([[transport, state.times.get(transport) ?? []]])
    const lines = [...state.times].flatMap(([key, times]) => times.map((ts) => `${key} ${ts}`))
    await replaceFile(this.#home.files, this.#home.random, path, utf8('\n' + lines.join('\n')))
    state.lines = lines.length
    state.size = (await this.#home.files.stat(path))?.size ?? 0
  }
}

/** `times` with `ts` in its place, at most WINDOW of them, ascending. */
function insert(times: bigint[], ts: bigint): bigint[] {
  let at = times.length
  while (at > 0 && (times[at - 1] as bigint) > ts) at--
  times.splice(at, 0, ts)
  if (times.length > WINDOW) times.shift()
  return times
}
