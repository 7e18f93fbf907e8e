// MSG: how a person names a message. 64 hexadecimal digits, a prefix of at least 6, a Message-ID as mail programs show
// it, or @N, the Nth latest received one. p2p(7), "Naming messages".

import { EX, Failure } from '../base/fail.ts'
import { quote } from '../base/text.ts'

export type MessageRef = { kind: 'id'; prefix: string } | { kind: 'latest'; nth: number }

const PREFIX_MIN = 6

/** Throws Failure 64 for what cannot name a message. */
export function parseMessageRef(text: string): MessageRef {
  const latest = /^@(\d{0,9})$/.exec(text)
  if (latest !== null) {
    const nth = latest[1] === '' ? 1 : Number(latest[1])
    if (nth >= 1) return { kind: 'latest', nth }
  }
  const [, bare = text] = /^<?([^<>@]*)@p2p\.invalid>?$/i.exec(text.trim()) ?? []
  if (/^[0-9a-f]*$/i.test(bare) && bare.length >= PREFIX_MIN && bare.length <= 64) return { kind: 'id', prefix: bare.toLowerCase() }
  throw new Failure(EX.USAGE, `bad message ${quote(text)}: write an id, at least ${PREFIX_MIN} digits of one, or @N`, 'p2p-inbox list --id')
}
