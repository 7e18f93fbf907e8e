// When to send what towards a contact that is not there, so that it gets through our NAT whenever it comes, and we
// through its. Pure: a hole and a time give the next act. Openers end on the way and keep our own NAT open; hellos
// arrive, and so wait until the other side can have opened its own: an early one would spoil NATs that answer
// unsolicited datagrams themselves, until both sides have been silent for 30 s. p2p-wire(7), HOLES, says why.

/** Milliseconds of a period: in the rule, and while something waits for the contact. */
export const PERIOD_MS = 300_000
export const PERIOD_WAITING_MS = 120_000

/** Nothing is sent in the last part of each period: longer than NATs remember what was not answered. */
export const SILENCE_MS = 40_000

/** The offset of a pair of contacts within its periods is below this: a multiple of both. */
export const OFFSET_MAX_MS = 600_000

/** From the beginning of a period: more than two clocks set by NTP differ, and two processes started together. */
export const HELLO_MS = 3000

const OPENER_EVERY_MS = 20_000 // NATs forget after 30 s, RFC 4787 wants 120
const OPENERS_MS = [0, 1000] // from the beginning of a period
const HOLE_LIFE_MS = 30_000 // what an opener has opened stays open

/** After a hello at the beginning of a period it is sent again so much later. */
export const HOLE_RESENDS_MS: readonly number[] = [1000, 3000]

export interface Hole {
  /** Of this pair, the same on both sides: 0 to OFFSET_MAX_MS. */
  readonly offset: number
  readonly period: number
  /** Unix ms at which we came, or moved, or woke: a beginning, wherever in a period. */
  readonly since: number
}

export interface Act {
  /** Unix ms. */
  readonly at: number
  readonly what: 'opener' | 'hello'
}

/** Milliseconds since the present period began. */
function phase({ offset, period }: Hole, now: number): number {
  return (((now + offset) % period) + period) % period
}

/** The silence, for both sides at the same time. */
export function isSilent(hole: Hole, now: number): boolean {
  return phase(hole, now) > hole.period - SILENCE_MS
}

/** The first act later than `after`, and not before the hole began. */
export function nextAct(hole: Hole, after: number): Act {
  const { since, period } = hole
  const from = Math.max(after, since - 1)
  const began = from - phase(hole, from)
  const acts = [...beginning(since), ...actsOf(began, period), ...actsOf(began + period, period)]
  const due = acts.filter(({ at }) => at > from && !isSilent(hole, at))
  return due.reduce((first, act) => (act.at < first.at ? act : first))
}

function beginning(at: number): Act[] {
  return [
    ...OPENERS_MS.map((ms): Act => ({ at: at + ms, what: 'opener' })),
    { at: at + HELLO_MS, what: 'hello' },
  ]
}

function actsOf(began: number, period: number): Act[] {
  const acts = beginning(began)
  for (let ms = OPENER_EVERY_MS; ms <= period - SILENCE_MS; ms += OPENER_EVERY_MS) {
    acts.push({ at: began + ms, what: 'opener' })
  }
  return acts
}

/**
 * When a hello may go out of turn, because something is to be sent now (Unix ms, not before `now`): not before the
 * own side has been open for as long as at a beginning, and not while the other side's hole is certainly closed.
 */
export function helloAt(hole: Hole, now: number): number {
  const soonest = Math.max(now, hole.since + HELLO_MS)
  const at = phase(hole, soonest)
  const closed = hole.period - SILENCE_MS + HOLE_LIFE_MS
  return at < closed ? soonest : soonest - at + hole.period + HELLO_MS
}
