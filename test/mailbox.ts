// What the tests of mail share: a home with an identity in a temporary folder, messages as the receiver makes them,
// and the contents that must survive every program.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import { base58 } from '../lib/base/key.ts'
import { hex, utf8 } from '../lib/base/bytes.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { realDoors, type Doors, type Home } from '../lib/disk/home.ts'
import { createIdentity } from '../lib/disk/identity.ts'
import type { Self } from '../lib/disk/self.ts'
import { mailName, writeMail, writeNew } from '../lib/disk/maildir.ts'
import { prepareSent, publishSent, type SentCopy } from '../lib/disk/sent.ts'
import { Seen } from '../lib/disk/seen.ts'
import { composeMail, mailFromHead, type MailFields, type MailHead, type Party } from '../lib/wire/mail.ts'

export const BOB: Party = { name: 'bob', key: base58(new Uint8Array(32).fill(2)) }
export const EVE: Party = { name: 'eve', key: base58(new Uint8Array(32).fill(3)) }

export async function withHome(work: (home: Home, self: Self) => Promise<void>, doors: Doors = realDoors): Promise<void> {
  const root = await mkdtemp(`${tmpdir()}/p2p-mail-`)
  try {
    const fields = { name: 'alice', port: 21000, addresses: [], passphrase: undefined }
    const { home, self } = await createIdentity({ path: `${root}/home`, source: 'test' }, fields as never, nodeSuite, doors)
    await work(home, self)
  } finally {
    await rm(root, { recursive: true })
  }
}

export interface File {
  type?: string
  name?: string
  bytes: Uint8Array
}

export interface Draft {
  text?: Uint8Array | string
  files?: File[]
  subject?: string
  reply?: string
  reaction?: string
  edit?: string
  recall?: string
  receipt?: string
  from?: Party
  to?: Party
  /** us */
  created?: bigint
  received?: bigint
  verified?: boolean
  id?: string
}

export const bytesOf = (text: Uint8Array | string): Uint8Array => (typeof text === 'string' ? utf8(text) : text)

export function freshId(): string {
  return hex(realDoors.random.bytes(32))
}

/** A message as the receiver sees it when all of it is there. */
export function mailOf(draft: Draft): { mail: MailFields; head: MailHead; contents: Uint8Array[] } {
  const parts: MailHead['header']['parts'] = []
  const contents: Uint8Array[] = []
  if (draft.text !== undefined) {
    contents.push(bytesOf(draft.text))
    parts.push({ type: 'text/plain', size: bytesOf(draft.text).length })
  }
  for (const { type = 'application/octet-stream', name, bytes } of draft.files ?? []) {
    contents.push(bytes)
    parts.push({ type, size: bytes.length, ...(name !== undefined && { name }) })
  }
  const { subject, reply, reaction, edit, recall, receipt, from = BOB, to = { name: 'alice', key: EVE.key } } = draft
  const created = draft.created ?? 1_790_000_000_000_000n
  const head: MailHead = { id: draft.id ?? freshId(), created, header: { parts, subject, reply, reaction, edit, recall, receipt } }
  const mail = mailFromHead(head, {
    from,
    to,
    other: from.key,
    received: Number((draft.received ?? created) / 1000n),
    verified: draft.verified ?? false,
    boundary: hex(realDoors.random.bytes(20)),
    text: draft.text === undefined ? undefined : bytesOf(draft.text),
    async *content(part) {
      const bytes = contents[part] ?? new Uint8Array()
      for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000)
    },
  })
  return { mail, head, contents }
}

export async function composed(mail: MailFields): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of composeMail(mail)) pieces.push(piece)
  return new Uint8Array(Buffer.concat(pieces))
}

export interface Delivered {
  id: string
  path: string
  tag: string
}

/** Puts a message into the inbox in the order of the receiver: prepared file, `seen`, rename. */
export async function deliver(home: Home, draft: Draft): Promise<Delivered> {
  const { mail, head } = mailOf(draft)
  const us = draft.received ?? home.clock.micros()
  const name = mailName(us, head.id)
  const prepared = home.at('inbox', 'tmp', name)
  await writeMail(home.files, prepared, mail)
  await home.files.utimes(prepared, Number(us / 1000n))
  const tag = await logSeen(home, us, (draft.from ?? BOB).key, head.id)
  const path = home.at('inbox', 'new', name)
  await home.files.rename(prepared, path)
  return { id: head.id, path, tag }
}

/** A notice of the program itself. */
export async function deliverNotice(home: Home, bytes: Uint8Array): Promise<void> {
  await writeNew(home.files, home.at('inbox', 'new', mailName(home.clock.micros(), freshId())), (async function* () {
    yield bytes
  })())
}

/** Copies in sent/, as the queue makes them. Returns their paths. */
export async function writeSent(home: Home, self: Party, copies: SentCopy[], options = {}): Promise<string[]> {
  const prepared = []
  for (const copy of copies) prepared.push(await prepareSent(home, self, copy, options))
  await publishSent(home, prepared)
  return prepared.map(({ path }) => path)
}

export async function logSeen(home: Home, time: bigint, key: string, id: string): Promise<string> {
  const tag = hex(home.random.bytes(8))
  const seen = await Seen.open(home)
  await seen.commit([{ time, key, id, tag }])
  await seen.close()
  return tag
}

const noise = (size: number): Uint8Array => new Uint8Array(size).map((_, i) => (i * 167 + (i >> 7) * 13) & 255)

/** Texts that programs like to change. */
export const TEXTS: Record<string, Uint8Array | string> = {
  'UTF-8': 'Grüße aus Köln — 東京\n',
  emoji: 'see you 👍🏽👨‍👩‍👧‍👦\n',
  'a line of 60 kB': `${'x'.repeat(60_000)}\n`,
  'a line of 998 bytes': `${'y'.repeat(998)}\nend\n`,
  'a line of 999 bytes': `${'y'.repeat(999)}\nend\n`,
  'an empty body': '',
  'a NUL byte': 'a\0b\n',
  'no final newline': 'one\ntwo',
  'only a newline': '\n',
  'blank lines at both ends': '\n\n text \n\n\n',
  'CR LF line ends': 'one\r\ntwo\r\n',
  'a bare CR': 'one\rtwo\n',
  'lines that begin with From and a dot': 'From me\n.\n..\n>From you\nFrom \n',
  'trailing blanks': 'a \nb\t\n \n-- \nsig\n',
  'what looks like headers': 'Subject: no\nBcc: eve@example.org\n\n--boundary\n--boundary--\n',
  'what looks encoded': '=20=3D =?utf-8?B?YQ==?= &amp; <b>\n',
  'control characters': 'a\u001b[31mred\u0007\u000b\u000c\u0085\u2028\n',
  'a byte order mark': '\ufeffstart\n',
  'not UTF-8': new Uint8Array([0xff, 0xfe, 0x41, 0x0a]),
  '300 kB': `${'line with ünïcode\n'.repeat(16_000)}`,
}

export const BINARY = noise(200_003)
