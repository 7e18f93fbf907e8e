// What a contact may ask of this side: p2p-wire(7), LIMITS. Contacts are authenticated, not trusted.

import type { Clock } from '../base/clock.ts'
import { isCode } from '../base/fail.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { HEAD_MAX } from '../wire/envelope.ts'
import { REFUSE } from '../wire/frame.ts'

/** A quota counts bytes a day and contact; each message at least so many, which bounds their number too. */
const QUOTA_UNIT = 4096
const DAY_MS = 86_400_000

/** Free space below which nothing is accepted: this much, or FLOOR_SHARE of the disk if that is less. */
const FLOOR = 2 ** 30
const FLOOR_SHARE = 0.05

/** Small messages are accepted down to this much free space. */
const FLOOR_SMALL = 64 * 2 ** 20
const SMALL = 64 * 1024

/** Bytes that must move between two looks for a call not to count as idle; a message that is settled counts as many. */
export const SETTLED = 64 * 1024

/** Messages on their way at once from which on this is work of a few thousand small things: see compileLate(). */
export const MANY = 512

/** What is known of the free space is good for so long, and for so many bytes of small messages. */
const LOOK_MS = 50
const LOOK_BYTES = 2 ** 20

/** How long a full disk is left alone. */
const DISK_RETRY_S = 3600
const QUOTA_RETRY_S = 3600

/** Unsolicited frames a second, and the burst. */
const FRAME_RATE = 200

/** Free bytes that must be left on a disk of `total` bytes after a message of `size` bytes came. `wanted`: limits.free. */
export function floorFor(size: number, total: number, wanted?: number): number {
  const floor = wanted ?? Math.min(FLOOR, total * FLOOR_SHARE)
  return size <= SMALL ? Math.min(FLOOR_SMALL, wanted ?? Infinity) : floor
}

export interface Refusal {
  code: number
  retry: number
}

/** A limit below this many bytes is kept to the letter; beyond it a message may have any head on top of its body. */
const EXACT_BELOW = 2 ** 20

/** Bytes of the largest envelope where messages of so many are allowed: the head does not count with large ones. */
function largestEnvelope(message: number): number {
  return message < EXACT_BELOW ? message : Math.min(message + HEAD_MAX, Number.MAX_SAFE_INTEGER)
}

/** The body that fits where the largest envelope is told to be so large. */
export function largestBody(envelope: number): number {
  return envelope < EXACT_BELOW + HEAD_MAX ? envelope : envelope - HEAD_MAX
}

/** Decides for each offered message whether it may come. One per receiving process. */
export class Admission {
  readonly #home: Home
  readonly #config: () => Config
  readonly #used = new Map<string, { since: number; bytes: number }>()
  /** Bytes on their way, by contact. */
  readonly #coming = new Map<string, number>()

  /** The disk when it was last looked at, and what was let in since. */
  #looked = { at: -Infinity, free: 0, total: 0 }
  #since = 0

  /** `config`: as it is now. */
  constructor(home: Home, config: () => Config) {
    this.#home = home
    this.#config = config
  }

  /** Bytes of the largest envelope that is taken from a contact. */
  largest(contact: Contact): number {
    return largestEnvelope(this.#config().of(contact).message)
  }

  /** Undefined: welcome. */
  async refuse(contact: Contact, size: number): Promise<Refusal | undefined> {
    if (size > this.largest(contact)) return { code: REFUSE.TOO_BIG, retry: 0 }
    const config = this.#config()
    const { quota } = config.of(contact)
    const used = this.#usage(contact.key).bytes + (this.#coming.get(contact.key) ?? 0)
    if (used + charge(size) > quota) return { code: REFUSE.QUOTA, retry: QUOTA_RETRY_S }
    const { free, total } = this.#known(size) ?? (await this.#look())
    if (free - size < floorFor(size, total, config.free)) return fullDisk
    this.#since += charge(size)
    return undefined
  }

  /** One look at the disk is good for many small messages; those that were let in since count as if they were there already. */
  #known(size: number): { free: number; total: number } | undefined {
    const { at, free, total } = this.#looked
    if (size > SMALL || this.#since + size > LOOK_BYTES || this.#home.clock.monotonic() - at >= LOOK_MS) return undefined
    return { free: free - this.#since, total }
  }

  async #look(): Promise<{ free: number; total: number }> {
    this.#looked = { at: this.#home.clock.monotonic(), ...(await this.#home.files.statfs(this.#home.path)) }
    this.#since = 0
    return this.#looked
  }

  /** A message of this contact is on its way; call the result once when it no longer is. */
  expect(key: string, size: number): () => void {
    const add = (bytes: number): void => void this.#coming.set(key, (this.#coming.get(key) ?? 0) + bytes)
    add(charge(size))
    return () => add(-charge(size))
  }

  /** A message of this contact was taken in. */
  count(key: string, size: number): void {
    this.#usage(key).bytes += charge(size)
  }

  #usage(key: string): { since: number; bytes: number } {
    const now = this.#home.clock.monotonic()
    let usage = this.#used.get(key)
    if (usage === undefined || now - usage.since > DAY_MS) {
      usage = { since: now, bytes: 0 }
      this.#used.set(key, usage)
    }
    return usage
  }
}

function charge(size: number): number {
  return Math.max(size, QUOTA_UNIT)
}

/** The refusal for an error that means "no room", which passes. */
export const fullDisk: Refusal = { code: REFUSE.DISK, retry: DISK_RETRY_S }

export function isFullDisk(error: unknown): boolean {
  return isCode(error, 'ENOSPC', 'EDQUOT')
}

/** Counts frames nobody asked for. */
export class FrameMeter {
  readonly #clock: Clock
  #since: number
  #count = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#since = clock.monotonic()
  }

  /** False when the rate is exceeded. */
  tick(): boolean {
    const now = this.#clock.monotonic()
    if (now - this.#since >= 1000) {
      this.#since = now
      this.#count = 0
    }
    return ++this.#count <= FRAME_RATE
  }
}

/** The last so many ids at least, to tell a late frame from one out of turn without remembering everything. */
const RECENT = 8192

export class Recent {
  /** Twice as many at most: what is older goes all at once, which costs less than to look for the oldest each time. */
  #ids = new Set<string>()
  #older = new Set<string>()

  add(id: string): void {
    if (this.#ids.size >= RECENT) [this.#older, this.#ids] = [this.#ids, new Set()]
    this.#ids.add(id)
  }

  has(id: string): boolean {
    return this.#ids.has(id) || this.#older.has(id)
  }
}
