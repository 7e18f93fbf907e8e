// How an outcome of delivery is told, the same by every command that delivers: p2p-record(5), and one line for people.

import { printable } from '../base/text.ts'
import { ndjson, type Output } from '../edge/output.ts'
import { deferredRecord, deliveredRecord, failedRecord, replacedRecord } from '../wire/outrecord.ts'
import type { Outcome } from './desk.ts'

interface Told {
  record: object
  human: () => string
}

/** Writes `delivered`, `deferred`, `failed` or `replaced`; `ref` is echoed. */
export async function tellOutcome(out: Output, outcome: Outcome, ref?: unknown): Promise<void> {
  const { record, human } = told(outcome, ref)
  await out.record(record, human)
}

/** The same of many at once: those for one contact often differ in the id alone, and are put into words once. */
export async function tellOutcomes(out: Output, outcomes: Outcome[]): Promise<void> {
  await out.records((function* () {
    let last: Outcome | undefined
    let [before, after] = ['', '']
    for (const outcome of outcomes) {
      const json = (): string => {
        if (last === undefined || !sameNews(last, outcome)) {
          last = outcome
          const [start = '', ...rest] = ndjson(told(outcome).record).split(outcome.queued.id)
          ;[before, after] = [start, rest.join(outcome.queued.id)]
        }
        return before + outcome.queued.id + after
      }
      yield { json, human: () => told(outcome).human() }
    }
  })())
}

/** True if what is told of both is the same but for the id. */
function sameNews(a: Outcome, b: Outcome): boolean {
  if (a.type !== b.type || a.contact !== b.contact) return false
  if (a.type === 'delivered') return Math.round(a.elapsedMs) === Math.round(b.elapsedMs)
  if (a.type !== 'deferred') return false
  return a.reason === b.reason && a.text === b.text && a.attempts === b.attempts && a.addresses === b.addresses && a.next === b.next
}

function told(outcome: Outcome, ref?: unknown): Told {
  const { type, queued, contact, reason = 'local-error', text = reason, attempts, addresses, next, elapsedMs } = outcome
  const message = { id: queued.id, to: contact.name, key: queued.key, ref }
  const human = (what: string, more?: string) => () => words(contact.name, what, queued.id, more)
  if (type === 'delivered') {
    return { record: deliveredRecord(message, elapsedMs), human: human(type, `${(elapsedMs / 1000).toFixed(1)} s`) }
  }
  if (type === 'replaced') return { record: replacedRecord({ ...message, tag: queued.opts.tag }), human: human(type) }
  if (type === 'refused') return { record: failedRecord(message, reason, text), human: human('failed', text) }
  return { record: deferredRecord({ ...message, reason, text, attempts, addresses, next }), human: human(type, text) }
}

/** True if the other side does not want the message: exit 76. One that expired or was damaged here is no refusal. */
export function isRefusal({ type, reason }: Outcome): boolean {
  return type === 'refused' && reason !== 'expired' && reason !== 'damaged'
}

/** `bob  delivered  3f9a2c1b  0.2 s` */
export function words(name: string, what: string, id: string, more = ''): string {
  return printable([name, what, id.slice(0, 8), more].filter((word) => word !== '').join('  '))
}
