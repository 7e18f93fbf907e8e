// What an archive of a home may hold: the files of p2p-spool(5) that make up the identity and, if wanted, what waits and
// what came. One table for both directions, so that everything that is written can be read again, and nothing else is
// ever unpacked: no other name, no path that leads elsewhere, no size beyond what the file can need.

export type Kind = 'base' | 'contact' | 'queue' | 'waiting' | 'mail' | 'file'

export interface Place {
  kind: Kind
  /** Bytes that it may have. */
  max: number
}

/** The first entry of every archive: by it an archive is known, and the version of what follows. */
export const FIRST = 'home.json'

const KEY = '[1-9A-HJ-NP-Za-km-z]{32,44}'
const ID = '[0-9a-f]{64}'
const US = '[0-9]{1,18}'
const SMALL = 1 << 16
const LARGE = 1 << 26
const ANY = 2 ** 48

const PLACES: [RegExp, Kind, number][] = [
  [/^home\.json$/, 'base', SMALL],
  [/^(?:identity\.(?:age|key)|transport(?:\.old)?\.key|token)$/, 'base', SMALL],
  [/^config\.toml$/, 'base', LARGE],
  [new RegExp(`^contacts/${KEY}\\.json$`), 'contact', SMALL],
  [new RegExp(`^contacts/${KEY}\\.(?:revoked|invite)$`), 'base', SMALL],
  [new RegExp(`^invites/[0-9a-f]{16}(?:\\.${KEY})?$`), 'base', SMALL],
  [new RegExp(`^hello/(?:last|${KEY})$`), 'base', LARGE],
  [new RegExp(`^queue/clock/${US}$`), 'base', 0],
  [/^seen$/, 'base', ANY],
  [/^read\.log$/, 'base', ANY],
  [new RegExp(`^queue/${KEY}/(?:new|hold|failed)/${US}\\.${ID}$`), 'waiting', 2 * SMALL], // a head and 64 KiB of body
  [new RegExp(`^queue/${KEY}/opts/${US}\\.${ID}$`), 'queue', SMALL],
  [new RegExp(`^queue/${KEY}/body/${ID}/[0-9]{1,2}$`), 'queue', ANY],
  [new RegExp(`^queue/${KEY}/(?:log(?:\\.0)?|receipts)$`), 'queue', LARGE],
  [/^(?:inbox|sent)\/(?:new|cur)\/[^./\0][^/\0]{0,254}$/, 'mail', ANY],
  [new RegExp(`^files/${ID}/[0-9]{1,2}$`), 'file', ANY],
  [new RegExp(`^hooks/pending/${US}\\.[0-9a-f]{32}\\.p2p$`), 'file', ANY],
]

/** What a file of this name (relative to the home) is; undefined if it has no business in an archive. */
export function placeOf(name: string): Place | undefined {
  for (const [pattern, kind, max] of PLACES) if (pattern.test(name)) return { kind, max }
  return undefined
}

/** KEY, if this is a file of the queue of a contact. */
export function queueKey(name: string): string | undefined {
  return /^queue\/([^/]{32,44})\//.exec(name)?.[1]
}
