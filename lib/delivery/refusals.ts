// What a REFUSE of the other side says, in the words of p2p-send's records and of people: p2p-wire(7), REFUSE. Codes that
// this version does not know have a meaning all the same: from 10 on for good, below for now.

import { REFUSE } from '../wire/frame.ts'

export interface Said {
  /** The reason word of a record. */
  reason: string
  text: string
  /** It is not to be offered again. */
  permanent: boolean
}

const FOR_GOOD_FROM = 10

const known = new Map<number, Said>([
  [REFUSE.DISK, { reason: 'peer-full', text: 'the other side has no room on its disk', permanent: false }],
  [REFUSE.BUSY, { reason: 'peer-busy', text: 'the other side is busy', permanent: false }],
  [REFUSE.QUOTA, { reason: 'peer-full', text: 'the daily quota at the other side is used up', permanent: false }],
  [REFUSE.TOO_BIG, { reason: 'too-big', text: 'the other side does not take messages of this size', permanent: true }],
  [REFUSE.MALFORMED, { reason: 'malformed', text: 'the other side found the message malformed', permanent: true }],
  [REFUSE.POLICY, { reason: 'policy', text: 'the other side does not want this message', permanent: true }],
])
const forGood: Said = { reason: 'refused', text: 'the other side refused the message', permanent: true }
const forNow: Said = { reason: 'peer-busy', text: 'the other side refused the message for now', permanent: false }

/** What a code of REFUSE means, known here or not. */
export function saidBy(code: number): Said {
  return known.get(code) ?? (code >= FOR_GOOD_FROM ? forGood : forNow)
}
