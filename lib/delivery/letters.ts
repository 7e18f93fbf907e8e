// Many messages from one stream of lines, as a coprocess: a writer may send one line and wait for its records, or
// thousands at once. Lines that are there together are made durable together. A broken line is told with its number
// and costs no other line.

import { fromUtf8 } from '../base/bytes.ts'
import { EX, Failure, Malformed } from '../base/fail.ts'
import { parseDuration, quote } from '../base/text.ts'
import type { QueuedOptions } from '../disk/queued.ts'
import type { Line } from '../edge/input.ts'
import { parseStrict } from '../wire/strictjson.ts'
import { checkWish, type Wish } from './about.ts'
import type { Attachment, Letter } from './compose.ts'

/** Bytes of one line: a text of 1 MiB with room for JSON's escapes. */
export const LINE_MAX = 2 * 1024 * 1024

/** Lines and bytes taken in while earlier ones are being written. */
const AHEAD_LINES = 512
const AHEAD_BYTES = 8 * 1024 * 1024

/** Characters. */
const TAG_MAX = 64

const JSON_LIMITS = { depth: 4, size: LINE_MAX }

/** A record of p2p-send --ndjson, p2p-send(1). */
export interface Order {
  /** As typed; empty if the record does not say. */
  to: string[]
  letter: Letter
  /** Which message it is about, as typed. */
  wish: Wish
}

/** The object in one line of NDJSON. Throws Failure 65. */
export function parseLine(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = parseStrict(fromUtf8(bytes), JSON_LIMITS)
  } catch (error) {
    if (error instanceof Malformed) throw new Failure(EX.DATA, error.message)
    throw error
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Failure(EX.DATA, 'not an object')
  return value as Record<string, unknown>
}

/** The letter that such an object asks for; unknown keys are ignored. Throws Failure 65 saying what is wrong. */
export function parseOrder(object: Record<string, unknown>, now: number): Order {
  const text = string(object, 'text')
  const files = strings(object, 'file')
  const letter: Letter = {
    text: text === undefined ? undefined : new TextEncoder().encode(text),
    textName: string(object, 'name'),
    attachments: files.map((path): Attachment => ({ path })),
    subject: string(object, 'subject'),
    expires: expiryOf(object, now),
    tag: tagOf(object),
  }
  const wish = {
    reply: string(object, 'reply'),
    reaction: string(object, 'reaction'),
    edit: string(object, 'edit'),
    recall: string(object, 'recall'),
  }
  try {
    checkWish(wish, { reply: "'reply'", reaction: "'reaction'", edit: "'edit'", recall: "'recall'" })
  } catch (error) {
    throw error instanceof Failure ? new Failure(EX.DATA, error.message) : error
  }
  const whole = wish.reaction !== undefined ? 'reaction' : wish.recall !== undefined ? 'recall' : undefined
  if (whole !== undefined && (text !== undefined || files.length > 0)) throw new Failure(EX.DATA, `'${whole}' is the whole message: not with 'text' and 'file'`)
  if (wish.edit !== undefined && files.length > 0) throw new Failure(EX.DATA, "an edit changes text and subject: not with 'file'")
  if (whole === undefined && text === undefined && files.length === 0) throw new Failure(EX.DATA, "neither 'text' nor 'file'")
  return { to: strings(object, 'to'), letter, wish }
}

/** Unix ms from a duration from now; Infinity for `inf`. Throws Failure 64. */
export function expiry(duration: string, now: number): number {
  return now + Math.round(parseDuration(duration) * 1000)
}

/** The options of one recipient's message: without an expiry of its own it gets the `lifetime` (seconds) of the others. */
export function lasting(opts: QueuedOptions, lifetime: number, now: number): QueuedOptions {
  const { expires = now + Math.round(lifetime * 1000), ...others } = opts
  return Number.isFinite(expires) ? { expires, ...others } : others
}

function expiryOf(object: Record<string, unknown>, now: number): number | undefined {
  const value = object['expires']
  if (value === undefined) return undefined
  if (typeof value !== 'string' && typeof value !== 'number') throw new Failure(EX.DATA, "'expires' is not a duration")
  try {
    return expiry(String(value), now)
  } catch (error) {
    throw error instanceof Failure ? new Failure(EX.DATA, error.message) : error
  }
}

/** Throws Failure 64 for what is no tag: 1 to 64 characters of text on one line. */
export function checkTag(tag: string): string {
  if (tag !== '' && Array.from(tag).length <= TAG_MAX && !/[\p{Cc}\u2028\u2029]/u.test(tag)) return tag
  throw new Failure(EX.USAGE, `bad tag ${quote(tag)}: 1 to ${TAG_MAX} characters on one line`)
}

function tagOf(object: Record<string, unknown>): string | undefined {
  const tag = string(object, 'replace')
  try {
    return tag === undefined ? undefined : checkTag(tag)
  } catch (error) {
    throw error instanceof Failure ? new Failure(EX.DATA, error.message) : error
  }
}

function string(object: Record<string, unknown>, key: string): string | undefined {
  const value = object[key]
  if (value !== undefined && typeof value !== 'string') throw new Failure(EX.DATA, `'${key}' is not a string`)
  return value
}

function strings(object: Record<string, unknown>, key: string): string[] {
  const value = object[key]
  if (value === undefined) return []
  const list: unknown[] = Array.isArray(value) ? value : [value]
  for (const item of list) if (typeof item !== 'string') throw new Failure(EX.DATA, `'${key}' is not a string or a list of strings`)
  return list as string[]
}

/** What is known of a line before it is understood. */
export interface Known {
  ref?: unknown
}

/** What the lines of a batch ask for. */
export interface Understood<Post> {
  posts: Post[]
  /** What is wrong with which line. */
  broken: { line: Line; failure: Failure; known: Known }[]
  /** Why no further line is worth trying: an error of this side. */
  fatal?: unknown
}

/** Lines, each as `post` understands it: undefined for one that asks for nothing. Throws nothing. */
export async function understand<Post>(
  batch: Line[],
  post: (line: Line, known: Known) => Promise<Post | undefined>,
): Promise<Understood<Post>> {
  const posts: Post[] = []
  const broken: Understood<Post>['broken'] = []
  for (const line of batch) {
    const known: Known = {}
    try {
      if (line.tooLong) throw new Failure(EX.DATA, `longer than ${LINE_MAX} bytes`)
      const made = await post(line, known)
      if (made !== undefined) posts.push(made)
    } catch (failure) {
      // The next line would fare no better, those before it may.
      if (!(failure instanceof Failure) || failure.exit === EX.IO) return { posts, broken, fatal: failure }
      broken.push({ line, failure, known })
    }
  }
  return { posts, broken }
}

/** The lines of `source` in batches: whatever came while the consumer was busy, at once when it is idle. */
export async function* batches(source: AsyncGenerator<Line>): AsyncGenerator<Line[]> {
  let held: Line[] = []
  let bytes = 0
  let ended = false
  let error: unknown
  let wake: (() => void) | undefined
  const changed = (): void => {
    wake?.()
    wake = undefined
  }
  const change = (): Promise<void> => new Promise((resolve) => (wake = resolve))
  let roomy: (() => void) | undefined

  const pump = async (): Promise<void> => {
    try {
      for await (const line of source) {
        held.push(line)
        bytes += line.bytes.length
        changed()
        if (held.length >= AHEAD_LINES || bytes >= AHEAD_BYTES) await new Promise<void>((resolve) => (roomy = resolve))
      }
    } catch (caught) {
      error = caught
    }
    ended = true
    changed()
  }
  const pumping = pump()
  try {
    for (;;) {
      if (held.length === 0) {
        if (ended) break
        await change()
        continue
      }
      const batch = held
      held = []
      bytes = 0
      roomy?.()
      roomy = undefined
      yield batch
    }
  } finally {
    if (!ended) {
      roomy?.()
      void source.return(undefined)
    }
  }
  await pumping
  if (error !== undefined) throw error
}
