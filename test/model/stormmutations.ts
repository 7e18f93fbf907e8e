// What the storms must find: the shipped code with one order or one rule wrong that only a network, or a second process,
// brings to light. Those of mutations.ts with a letter of the design are hunted by storms as well.

import { mutations } from './mutations.ts'
import type { Cut } from './seams.ts'

export interface Wrong {
  name: string
  cuts: Cut[]
  /** The beginning of a fault that shows it. */
  shows: RegExp
  /** The seed that showed it last, which is tried first: the hunt is long only when the program has changed. */
  near: number
}

const cut = (file: string, from: string, to: string, times = 1): Cut => ({ file, from, to, times })

const NEAR: Record<string, number> = { A: 20, C: 473, D: 4, E: 32, F: 23, G: 11 }

const ordered: Wrong[] = mutations
  .filter(({ name, shows }) => /^[A-G]: /.test(name) && shows !== 'nothing')
  .map(({ name, cuts }) => ({ name, cuts, shows: /^(?:lost|doubled|changed)\b/, near: NEAR[name.charAt(0)] ?? 1 }))

export const wrongs: Wrong[] = [
  ...ordered,
  {
    name: 'what a second session offers is not looked up',
    cuts: [
      cut('lib/delivery/receive.ts', 'if (await this.#inbox.has(this.#contact.key, item.id)) {', 'if (false) {'),
      cut('lib/disk/inbox.ts', 'won = await this.#receiver.commit(records)', 'await this.#receiver.commit(records)\n      won = records.map(() => true)'),
    ],
    shows: /^doubled/,
    near: 11,
  },
  {
    name: 'two sessions of a process take in the same message at once',
    cuts: [cut('lib/disk/inflight.ts', 'if (this.#active.has(name)) return undefined', '')],
    shows: /^(?:doubled|lost|changed|error|stuck)/,
    near: 20,
  },
  {
    name: 'a message is done with when it was sent',
    cuts: [
      cut(
        'lib/delivery/upload.ts',
        'for (const pad of padFrames(outgoing.size)) await this.#link.send(pad)',
        'this.#options.sent(queued.id)',
      ),
      cut('lib/delivery/upload.ts', 'for (const pad of padFrames(queued.size)) await this.#link.send(pad)', 'this.#options.sent(queued.id)'),
      cut('lib/delivery/offer.ts', 'unsendable: (queued, why)', 'sent: (id) => this.acknowledge([id]),\n      unsendable: (queued, why)'),
    ],
    shows: /^lost/,
    near: 8,
  },
  {
    name: 'the loser of a glare is not closed',
    cuts: [cut('lib/delivery/peers.ts', 'if (other !== session) (this.#keeps(session, other) ? other : session).replace()', '')],
    shows: /^glare/,
    near: 122,
  },
  {
    name: 'a hello is answered whenever it comes',
    cuts: [cut('lib/disk/hellos.ts', 'if (times.includes(ts) || (full && ts <= (times[0] as bigint))) return false', '')],
    shows: /^replay/,
    near: 6,
  },
  {
    name: 'a hello is answered before it is noted durably',
    cuts: [cut('lib/disk/hellos.ts', 'appendRecords(this.#home.files, path, lines, true)', 'appendRecords(this.#home.files, path, lines, false)')],
    shows: /^replay/,
    near: 165,
  },
  {
    name: 'a connection that nobody answers on is kept for ever',
    cuts: [cut('lib/delivery/session.ts', 'dead: () => this.abort(),', 'dead: () => undefined,')],
    shows: /^(?:glare|stuck|lost)/,
    near: 28,
  },
  {
    name: 'what the sweep knows files/ID by is not durable before it',
    cuts: [cut('lib/disk/sent.ts', "if (head.header.parts.some(isExternal)) await home.files.syncDir(home.at('sent', 'tmp'))", '')],
    shows: /^rest: .*files/,
    near: 266,
  },
]
