// MSG: how a person names a message. 64 hexadecimal digits, a prefix of at least 6, a Message-ID as mail programs show
// it, or @N, the Nth latest received one. p2p(7), "Naming messages".

import { EX, Failure } from '../base/fail.ts'
import { quote } from '../base/text.ts'

export type MessageRef = { kind: 'id'; prefix: string } | { kind: 'latest'; nth: number }

const PREFIX_MIN = 6
const FORMS = `an id or at least its first ${PREFIX_MIN} digits`

/** The name of a message in the inbox. Throws Failure 64 for what cannot name one. */
export function parseMessageRef(text: string): MessageRef {
  const latest = /^@(\d{0,9})$/.exec(text)
  if (latest !== null) {
    const nth = latest[1] === '' ? 1 : Number(latest[1])
    if (nth >= 1) return { kind: 'latest', nth }
  }
  const prefix = idPrefix(text)
  if (prefix !== undefined) return { kind: 'id', prefix }
  throw new Failure(EX.USAGE, `bad message ${quote(text)}: write ${FORMS}, or @N for the Nth latest`, 'p2p-inbox list')
}

/** The name of a message in the queue, where @N means nothing: how its id begins. Throws Failure 64. */
export function parseMessageId(text: string): string {
  const prefix = idPrefix(text)
  if (prefix === undefined) throw new Failure(EX.USAGE, `bad message ${quote(text)}: write ${FORMS}`, 'p2p-queue list')
  return prefix
}

function idPrefix(text: string): string | undefined {
  const [, bare = text] = /^<?([^<>@]*)@p2p\.invalid>?$/i.exec(text.trim()) ?? []
  if (!/^[0-9a-f]*$/i.test(bare) || bare.length < PREFIX_MIN || bare.length > 64) return undefined
  return bare.toLowerCase()
}
