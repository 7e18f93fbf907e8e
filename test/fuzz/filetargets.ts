// Targets: files. The inbox, into which other programs write as well, mail that is sent, archives that others made, and
// what this program wrote and a crash or a hand has changed.

import fc from 'fast-check'

import { collect, concat, utf8 } from '../../lib/base/bytes.ts'
import { crc32 } from '../../lib/base/crc32.ts'
import { systemClock } from '../../lib/base/clock.ts'
import { placeOf, queueKey } from '../../lib/disk/archivename.ts'
import { loadConfig } from '../../lib/disk/config.ts'
import { decodeContact, encodeContact } from '../../lib/disk/contact.ts'
import type { FileHandle } from '../../lib/disk/filehandle.ts'
import type { Files } from '../../lib/disk/files.ts'
import type { Home } from '../../lib/disk/home.ts'
import { outcomeOf, readLog } from '../../lib/disk/queuelog.ts'
import { readSeen } from '../../lib/disk/seenlog.ts'
import { openSource, readMail } from '../../lib/wire/mailread.ts'
import { parsePost } from '../../lib/wire/mailpost.ts'
import { parseTree } from '../../lib/wire/mailtree.ts'
import { infoOfRead, messageRecord } from '../../lib/wire/record.ts'
import { packTar, unpackTar } from '../../lib/wire/tar.ts'
import { composed, mailOf } from '../mailbox.ts'
import { holds, same, taken, takenLater, type Target } from './target.ts'
import { each } from './wiretargets.ts'

/** A home of one file: whatever is asked for is these bytes. */
function homeOf(input: Uint8Array): Home {
  const handle: Pick<FileHandle, 'read' | 'size' | 'close'> = {
    read: async (at, length) => input.slice(at, at + length),
    size: async () => input.length,
    close: async () => undefined,
  }
  const files: Partial<Files> = {
    read: async (path) => (path.endsWith('.0') ? new Uint8Array(0) : input.slice()),
    open: async () => handle as FileHandle,
    stat: async () => ({ size: input.length, mtimeMs: 0, mode: 0o600, uid: 0, dev: 1, ino: 1, kind: 'file' as const }),
  }
  return { path: '/home', files, clock: systemClock, at: (...parts: string[]) => ['/home', ...parts].join('/') } as unknown as Home
}

const KEY = '4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM'
const ID = '0123456789abcdef'.repeat(4)

function seenLine(time: number): string {
  const text = `${time} ${KEY} ${ID} 0123456789abcdef`
  return `${text} ${crc32(text).toString(16).padStart(8, '0')}`
}

const seen: Target = {
  name: 'seen',
  max: 300_000,
  words: ['\n', ' ', '\r', seenLine(1), seenLine(1790000000000000), '0', new Uint8Array(40)],
  code: /\/lib\/(?:disk\/seen|base\/crc32)\.ts$/,
  seeds: () => [utf8(`\n${seenLine(1)}\n\n${seenLine(2)}\n`), utf8(seenLine(7))],
  async run(input) {
    const home = homeOf(input)
    let last = 0
    let count = 0
    for await (const entry of readSeen(home, 0)) {
      holds(entry.offset >= last && entry.next > entry.offset && entry.next <= input.length, 'offsets grow')
      last = entry.next
      if (count++ > 3) continue
      // the cursor of p2p-inbox: from here on the same record comes first
      for await (const again of readSeen(home, entry.offset)) {
        same(again, entry, 'the record at its offset')
        break
      }
    }
    return count > 0
  },
}

const LOG = [
  { at: 1, event: 'attempt', reason: 'timeout', addresses: [{ address: '192.0.2.1:9', reason: 'timeout' }], next: 9 },
  { at: 2, event: 'session' },
  { at: 3, event: 'delivered', id: ID, elapsed: 4 },
  { at: 4, event: 'deferred', id: ID, reason: 'peer-full', next: 5 },
  { at: 5, event: 'carry', attempts: [1, 2], count: 9, last: { at: 2, reason: 'lost' } },
  { at: 6, event: 'retry', id: ID },
].map((event) => JSON.stringify(event))

const queuelog: Target = {
  name: 'queuelog',
  max: 100_000,
  words: [...LOG, '\n', '"event":"carry"', '"attempts":', '"last":', '"at":', 'null', '[]', '{}', '"id":', '"session"', '"retry"'],
  code: /\/lib\/disk\/queuelog\.ts$/,
  seeds: () => [...LOG, LOG.join('\n')].map(utf8),
  async run(input) {
    const state = await readLog(homeOf(input), KEY)
    const { last } = outcomeOf(state, ID, 0n)
    holds(last === undefined || typeof last.reason === 'string', 'a reason is text')
    holds(state.attempts.every(Number.isFinite) && Number.isFinite(state.count), 'attempts are times')
    return state.attempts.length > 0 || state.messages.size > 0
  },
}

const contactSeed = {
  v: 1, name: 'bob', key: KEY, transport: KEY, seq: '12', addresses: ['192.0.2.1:9/tcp', '[2001:db8::1]:9'], added: '2026-01-31T00:00:00.000Z',
  verified: '2026-01-31T00:00:00.000Z', max_message: 9, features: 3, instance: '0011223344556677', introduced: 'invite',
}

const contact: Target = {
  name: 'contact',
  max: 20_000,
  words: [...Object.entries(contactSeed).map(([name, value]) => JSON.stringify({ [name]: value }).slice(1, -1)), 'null', '[]', '{}', ',', '1e99', '"__proto__":'],
  code: /\/lib\/(?:disk\/contact|base\/(?:key|text)|wire\/address)\.ts$/,
  seeds: () => [utf8(JSON.stringify(contactSeed, null, 1))],
  run(input) {
    const read = taken(() => decodeContact(input, 'contacts/x.json', false))
    if (read === undefined) return false
    same(decodeContact(encodeContact(read.value), 'contacts/x.json', false), read.value, 'the contact, written again')
    return true
  },
}

const config: Target = {
  name: 'config',
  max: 3000,
  words: ['wait = "5s"\n', 'quiet_net = true\n', '[limits]\n', '[contact.bob]\n', 'expires = ', '"2d"', '1e9', '"""', "'''", '[[', '= {', '\\u0000', 'inf', '1979-05-27', '\n', '__proto__'],
  code: /\/(?:lib\/disk\/config|smol-toml\/dist\/\w+)\.(?:ts|js)$/,
  seeds: () => [utf8('wait = "5s"\nquiet_net = true\ndelay_notice = "3d"\n[limits]\nmessage = "1G"\n[contact.bob]\nquota = 9\n[contact."x y"]\nhook = "true"\n')],
  async run(input) {
    const read = await takenLater(() => loadConfig(homeOf(input)))
    if (read === undefined) return false
    const settings = read.value.of({ key: KEY, name: 'bob' })
    holds(settings.message >= 0 && settings.quota >= 0 && settings.expires >= 0 && read.value.wait >= 0, 'settings are numbers')
    return true
  },
}

const MAIL_WORDS = [
  'Content-Type: multipart/mixed; boundary="x"\n', 'Content-Type: text/plain\n', 'Content-Type: message/external-body; access-type=local-file; name="files/', 'Content-Transfer-Encoding: base64\n',
  'Content-Transfer-Encoding: quoted-printable\n', 'Content-Disposition: attachment; size=9; filename="a"\n', '\n\n', '\r\n', '\n--x\n', '\n--x--\n', 'From: ', 'Subject: =?utf-8?Q?=C3?=\n', 'To: a@p2p.invalid, "b c" <d@e>\n', 'Bcc: g: a, b;\n',
  'Date: ', `Message-ID: <${ID}@p2p.invalid>\n`, 'Content-Type: text/html\n', 'charset=utf-7', 'format=flowed', '<p>', '&#x41;', ' ', '\t', '<', '>', '"', '(',
]

async function mails(): Promise<Uint8Array[]> {
  const own = [{ text: 'hi\n' }, { text: 'no newline', files: [{ name: 'f.bin', bytes: Uint8Array.of(0, 1, 2) }], subject: 'Zoë' }, { reaction: '👍', reply: ID, text: '' }]
  const made = await Promise.all(own.map((draft) => composed(mailOf(draft).mail)))
  const other = 'From bob\nFrom: "B" <b@p2p.invalid>\nTo: a@p2p.invalid\nSubject: x\nContent-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/plain; format=flowed\n\na \nb\n--x\nContent-Type: text/html\n\n<p>b</p>\n--x--\n'
  return [...made, utf8(other), utf8(other.replaceAll('\n', '\r\n'))]
}

const mail: Target = {
  name: 'mail',
  max: 32_000,
  words: MAIL_WORDS,
  code: /\/(?:lib\/wire\/(?:mailread|mimeword|record|mimepart)|postal-mime\/\w+\/[\w-]+)\.(?:ts|c?js)$/,
  seeds: mails,
  async run(input) {
    const read = await takenLater(async () => readMail(await openSource({ read: async (at, length) => input.subarray(at, at + length), size: async () => input.length })))
    if (read === undefined) return false
    for (const part of read.value.parts) {
      const bytes = await collect(part.content())
      const coded = /base64/i.test(Buffer.from(input).toString('latin1')) // what is none has another size than it says
      holds(part.external !== undefined || bytes.length === part.size || coded, 'a part has its size')
      holds(part.size >= 0, 'a size')
      holds(part.external === undefined || /^files\/[0-9a-f]{64}\/\d+$/.test(part.external), 'a part lies in the home')
    }
    JSON.stringify(messageRecord(await infoOfRead(read.value)))
    return true
  },
}

const post: Target = {
  name: 'post',
  max: 32_000,
  words: MAIL_WORDS,
  code: /\/(?:lib\/wire\/(?:mailpost|mailtree|mimeword)|postal-mime\/\w+\/[\w-]+)\.(?:ts|c?js)$/,
  seeds: mails,
  async run(input) {
    const tree = parseTree(input)
    holds(tree.body.length <= input.length, 'a body is a part')
    const read = await takenLater(() => parsePost(input))
    return read !== undefined
  },
}

async function tarOf(files: { name: string; bytes: Uint8Array }[]): Promise<Uint8Array> {
  const items = async function* (): AsyncGenerator<{ name: string; size: number; mtimeMs: number; content: AsyncIterable<Uint8Array> }> {
    for (const { name, bytes } of files) yield { name, size: bytes.length, mtimeMs: 1000, content: each(bytes) }
  }
  const pieces: Uint8Array[] = []
  for await (const piece of await packTar(items())) pieces.push(new Uint8Array(piece))
  return concat(...pieces)
}

const tar: Target = {
  name: 'tar',
  max: 6000,
  words: ['ustar\x0000', '0000644\0', '00000000000\0', '77777777777\0', '\x80\0\0\0\0\0\0\0', 'home.json', 'contacts/', '../', '/etc/passwd', `inbox/new/1.p2p`, 'x', 'L', '2', '5', ' path=', '19 size=99999999\n', new Uint8Array(512)],
  code: /\/(?:lib\/(?:wire\/tar|disk\/archivename)|modern-tar\/dist\/[\w./-]+)\.(?:ts|js)$/,
  seeds: async (seed) => [
    await tarOf([{ name: 'home.json', bytes: utf8('{"v":1}') }, { name: `contacts/${KEY}.json`, bytes: new Uint8Array(700) }]),
    await tarOf([{ name: `inbox/new/${'ü'.repeat(120)}`, bytes: utf8('x') }]),
    ...(await Promise.all(fc.sample(fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 3 }), { seed, numRuns: 5 }).map((all) => tarOf(all.map((bytes, at) => ({ name: `queue/${at}`, bytes })))))),
  ],
  async run(raw) {
    const input = summed(raw)
    const all = await takenLater(async () => {
      let count = 0
      let total = 0
      for await (const { name, size, content } of unpackTar(each(input))) {
        const place = placeOf(name)
        holds(place === undefined || !/(?:^|\/)\.{1,2}(?:\/|$)|^\/|\0/.test(name), 'a place in the home')
        queueKey(name)
        let got = 0
        if (count++ % 2 === 0) for await (const piece of content) got += piece.length
        else got = size
        same(got, size, 'the size')
        total += got
      }
      holds(total <= input.length, 'no more than there was')
      return count
    })
    return all !== undefined
  },
}

/** With right sums in the headers, or the first mutation would end it all; those that begin with 255 stay as they are. */
function summed(input: Uint8Array): Uint8Array {
  if (input[0] === 255) return input
  for (let at = 0; at + 512 <= input.length; ) {
    const block = input.subarray(at, at + 512)
    if (block.every((byte) => byte === 0)) {
      at += 512
      continue
    }
    block.fill(32, 148, 156)
    const sum = block.reduce((all, byte) => all + byte, 0)
    block.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
    const size = parseInt(Buffer.from(block.subarray(124, 136)).toString('latin1'), 8)
    at += 512 + (size > 0 && size < 100_000 ? Math.ceil(size / 512) * 512 : 0)
  }
  return input
}

export const FILE: Target[] = [seen, queuelog, contact, config, mail, post, tar]
