// The NDJSON records about outgoing messages, p2p-record(5): built here for p2p-send, p2p-queue and p2p-listen alike.
// Times come as Unix ms and leave as RFC 3339; what is not known is absent.

import { isoTime } from '../base/utc.ts'

export interface OutMessage {
  id: string
  /** NAME of the contact. */
  to: string
  key: string
  /** Echoed from a record of p2p-send --ndjson. */
  ref?: unknown
}

export interface QueuedInfo extends OutMessage {
  state: 'new' | 'hold' | 'failed'
  /** Unix us. */
  created: bigint
  size: number
  subject?: string | undefined
  attempts?: number | undefined
  reason?: string | undefined
  text?: string | undefined
  last?: number | undefined
  next?: number | undefined
  expires?: number | undefined
}

export interface DeferredInfo extends OutMessage {
  reason: string
  text?: string | undefined
  attempts?: number | undefined
  addresses?: readonly { address: string; reason: string }[] | undefined
  next?: number | undefined
}

/** The message is safe in the queue. */
export function queuedRecord(m: QueuedInfo): object {
  const { id, to, key, state, created, size, subject, attempts, reason, text } = m
  const more = { subject, attempts, reason, text, last: time(m.last), next: time(m.next), expires: time(m.expires) }
  return record('queued', { id, to, key, state, created: time(Number(created / 1000n)), size, ...more, ref: m.ref })
}

/** The message is in the other side's inbox; `elapsed` in ms. */
export function deliveredRecord({ id, to, key, ref }: OutMessage, elapsed: number | undefined): object {
  return record('delivered', { id, to, key, elapsed: elapsed === undefined ? undefined : Math.round(elapsed) / 1000, ref })
}

/** The message stays in the queue for now. */
export function deferredRecord(m: DeferredInfo): object {
  const { id, to, key, reason, text, attempts, addresses, ref } = m
  return record('deferred', { id, to, key, reason, text, attempts, addresses, next: time(m.next), ref })
}

/** The message was given up and lies in failed/. */
export function failedRecord({ id, to, key, ref }: OutMessage, reason: string, text: string | undefined): object {
  return record('failed', { id, to, key, reason, text, ref })
}

/** The message was taken out of the queue by its owner. */
export function droppedRecord({ id, to, key }: OutMessage): object {
  return record('dropped', { id, to, key })
}

/** Another message of the same tag took its place before it was offered. */
export function replacedRecord({ id, to, key, ref, tag }: OutMessage & { tag: string | undefined }): object {
  return record('replaced', { id, to, key, tag, ref })
}

/** What p2p-send --dry-run would queue; `size` in bytes of the parts together. */
export function dryRunRecord(m: {
  to: string
  key: string
  size: number
  subject: string | undefined
  parts: readonly { type: string; name?: string; size: number }[]
  ref: unknown
}): object {
  const { to, key, size, subject, parts, ref } = m
  return record('dry-run', { to, key, size, subject, parts, ref })
}

/** A line of standard input that was not accepted; `exit` as the process would end with it. */
export function errorRecord(m: { line: number; exit: number; text: string; ref?: unknown }): object {
  return record('error', { line: m.line, exit: m.exit, text: m.text, ref: m.ref })
}

function record(type: string, fields: Record<string, unknown>): object {
  const made: Record<string, unknown> = { v: 1, type }
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) made[name] = value
  return made
}

/** The time that was written last: all messages for a contact are tried again at the same. */
let last = { ms: NaN, text: '' }

function time(ms: number | undefined): string | undefined {
  if (ms === undefined || !Number.isFinite(ms)) return undefined
  if (ms !== last.ms) last = { ms, text: isoTime(ms) }
  return last.text
}
