// A mail reader as the soak needs one: takes what is new, reads it, deletes some. What it deletes it has read to the last
// byte and written down before. It works on the Maildir alone and asks nobody.

import { readdirSync, renameSync, unlinkSync } from 'node:fs'

import { describe, openMessage, partContent } from '../../lib/disk/inboxview.ts'
import { listMaildir, type MailEntry } from '../../lib/disk/maildir.ts'
import { pause, type Peer } from '../peer.ts'
import type { Ledger, Side } from './ledger.ts'
import { type Content, digestOf, numberOf } from './message.ts'
import type { Dice } from './random.ts'

/** Share of all mail that it deletes, some rounds after it came; ms between rounds. */
const DELETED = 0.4
const NOW = 0.3
const ROUND_MS = [100, 600] as const

export interface Read {
  /** The name without flags. */
  base: string
  id: string
  digest: string
  n: number | undefined
  bytes: number
}

/** Everything in a message, read by the library. */
export async function readMessage(peer: Peer, entry: MailEntry): Promise<Read> {
  const view = { home: peer.home, nameOf: () => undefined }
  const message = await describe(view, entry, 'text')
  if (message === undefined) throw new Error(`${entry.path} vanished`)
  const content: Content = { text: undefined, files: [] }
  await openMessage(view, message, async (mail) => {
    for (const part of mail.parts) {
      const pieces: Uint8Array[] = []
      for await (const piece of partContent(view.home, part)) pieces.push(piece.slice())
      const bytes = Buffer.concat(pieces)
      if (part.kind === 'file') content.files.push({ name: part.name, bytes })
      else content.text = bytes
    }
  })
  const bytes = content.files.reduce((sum, file) => sum + file.bytes.length, content.text?.length ?? 0)
  return { base: entry.base, id: message.info.id ?? '', digest: digestOf(content), n: numberOf(content), bytes }
}

/** Reads along until it is over. */
export async function readAlong(peer: Peer, by: Side, ledger: Ledger, dice: Dice, over: () => boolean): Promise<void> {
  const kept = new Set<string>()
  while (!over()) {
    for (const name of readdirSync(peer.at('inbox', 'new'))) renameSync(peer.at('inbox', 'new', name), peer.at('inbox', 'cur', `${name}:2,S`))
    for (const entry of await listMaildir(peer.home, 'inbox')) {
      if (over()) return
      if (!entry.path.includes('/cur/') || kept.has(entry.base) || !dice.chance(NOW)) continue
      if (!dice.chance(DELETED)) {
        kept.add(entry.base)
        continue
      }
      const { base, id, digest, n } = await readMessage(peer, entry)
      ledger.note({ fact: 'deleted', by, base, id, digest, n })
      unlinkSync(entry.path)
    }
    await pause(dice.between(...ROUND_MS))
  }
}
