// How an outcome of delivery is told, the same by every command that delivers: p2p-record(5), and one line for people.

import { printable } from '../base/text.ts'
import type { Output } from '../edge/output.ts'
import { deferredRecord, deliveredRecord, failedRecord, replacedRecord } from '../wire/outrecord.ts'
import type { Outcome } from './desk.ts'

/** Writes `delivered`, `deferred`, `failed` or `replaced`; `ref` is echoed. */
export async function tellOutcome(out: Output, outcome: Outcome, ref?: unknown): Promise<void> {
  const { type, queued, contact, reason = 'local-error', text = reason, attempts, addresses, next, elapsedMs } = outcome
  const message = { id: queued.id, to: contact.name, key: queued.key, ref }
  if (type === 'delivered') {
    const seconds = `${(elapsedMs / 1000).toFixed(1)} s`
    await out.record(deliveredRecord(message, elapsedMs), () => words(contact.name, type, queued.id, seconds))
  } else if (type === 'replaced') {
    await out.record(replacedRecord({ ...message, tag: queued.opts.tag }), () => words(contact.name, type, queued.id))
  } else if (type === 'refused') {
    await out.record(failedRecord(message, reason, text), () => words(contact.name, 'failed', queued.id, text))
  } else {
    const record = deferredRecord({ ...message, reason, text, attempts, addresses, next })
    await out.record(record, () => words(contact.name, type, queued.id, text))
  }
}

/** True if the other side does not want the message: exit 76. One that expired or was damaged here is no refusal. */
export function isRefusal({ type, reason }: Outcome): boolean {
  return type === 'refused' && reason !== 'expired' && reason !== 'damaged'
}

/** `bob  delivered  3f9a2c1b  0.2 s` */
export function words(name: string, what: string, id: string, more = ''): string {
  return printable([name, what, id.slice(0, 8), more].filter((word) => word !== '').join('  '))
}
