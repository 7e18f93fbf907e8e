// A home with a year of messages with one contact, both sides of the talk: every tenth an answer, every fiftieth a
// reaction, as a receiver, the queue and a mail program leave them.

import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'

import { crc32 } from '../../lib/base/crc32.ts'
import { mailName } from '../../lib/disk/maildir.ts'
import { composed, mailOf } from '../mailbox.ts'
import type { Peer } from '../peer.ts'

/** A message every five minutes. */
const STEP_US = 300_000_000n
const FIRST_US = 1_750_000_000_000_000n
const UNSEEN = 50

/** Fills inbox, sent and seen; the ids. */
export async function fillBoth(self: Peer, other: Peer, mails: number): Promise<string[]> {
  const { home } = self
  const ids: string[] = []
  const log = openSync(home.at('seen'), 'a')
  for (let i = 0; i < mails; i++) {
    const us = FIRST_US + BigInt(i) * STEP_US
    const mine = i % 2 === 1
    const about = i % 50 === 25 ? { reaction: '+1', reply: ids[i - 2] ?? '' } : i % 10 === 5 ? { reply: ids[i - 3] ?? '' } : {}
    const text = 'reaction' in about ? '' : `message number ${i}\n${'some words of a message '.repeat(i % 20)}\n`
    const [from, to] = mine ? [self, other] : [other, self]
    const { mail, head } = mailOf({ from, to, text, created: us, received: us, ...about })
    ids.push(head.id)
    const [folder, flags] = mine || i < mails - UNSEEN ? ['cur', ':2,S'] : ['new', '']
    writeFileSync(home.at(mine ? 'sent' : 'inbox', folder, `${mailName(us, head.id)}${flags}`), await composed(mail), { mode: 0o600 })
    if (mine) continue
    const line = `${us} ${other.key} ${head.id} ${'0'.repeat(16)}`
    writeSync(log, `\n${line} ${crc32(line).toString(16).padStart(8, '0')}\n`)
  }
  closeSync(log)
  return ids
}
