// Messages as mail: what is written can be read back to the byte, by our own reader, by postal-mime and by Python, and
// nothing that a peer says can become a header.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'

import fc from 'fast-check'
import PostalMime from 'postal-mime'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { collect, hex, utf8 } from '../lib/base/bytes.ts'
import { numberedName, safeName } from '../lib/wire/filename.ts'
import { EMBED_MAX, mailFromHead, subjectOf } from '../lib/wire/mail.ts'
import { openSource, readMail, type ReadMail } from '../lib/wire/mailread.ts'
import { headersOf } from '../lib/wire/mailheaders.ts'
import { cleanName, cutColumns } from '../lib/wire/mailtext.ts'
import { isEightBitSafe } from '../lib/wire/mimepart.ts'
import { addressHeader, decodeWords, headerText, parameter, parseStructured, textHeader } from '../lib/wire/mimeword.ts'
import { type BounceFields, composeBounce, composeNotice } from '../lib/wire/notice.ts'
import { infoOfMail, infoOfRead, messageRecord, TEXT_RECORD_MAX } from '../lib/wire/record.ts'
import { BINARY, BOB, bytesOf, composed, mailOf, TEXTS, type Draft } from './mailbox.ts'
import { readVectors, skipped } from './vectors.ts'

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

function read(bytes: Uint8Array): Promise<ReadMail> {
  return openSource({
    read: async (at, length) => bytes.subarray(at, at + length),
    size: async () => bytes.length,
  }).then(readMail)
}

async function roundTrip(draft: Draft): Promise<{ mail: ReadMail; raw: Uint8Array; record: unknown; told: unknown }> {
  const { mail } = mailOf(draft)
  const raw = await composed(mail)
  const back = await read(raw)
  const record = messageRecord({ ...(await infoOfRead(back)), flags: '' })
  return { mail: back, raw, record, told: messageRecord(infoOfMail(mail)) }
}

function headerLines(raw: Uint8Array): string[] {
  const head = Buffer.from(raw).toString('latin1').split('\n\n', 1)[0] ?? ''
  return head.split('\n')
}

for (const [name, text] of Object.entries(TEXTS)) {
  test(`a text comes back exactly: ${name}`, async () => {
    for (const files of [[], [{ name: 'f.bin', bytes: BINARY }]]) {
      const { mail, record, told } = await roundTrip({ text, files })
      const [part] = mail.parts
      assert.is(part?.kind, 'text')
      assert.is(part?.size, bytesOf(text).length)
      assert.ok(part !== undefined && same(await collect(part.content()), bytesOf(text)))
      assert.is(mail.parts.length, 1 + files.length)
      assert.equal(record, told)
    }
  })
}

test('48 parts of all sizes come back exactly, and the reader of our own form finds each by its size', async () => {
  const sizes = [0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 58_367, 58_368, 58_369, 200_003]
  const files = Array.from({ length: 47 }, (_, i) => ({ name: `f${i}.bin`, bytes: BINARY.subarray(0, sizes[i % sizes.length]) }))
  const { mail, record, told } = await roundTrip({ text: 'all of them\n', files })
  assert.is(mail.parts.length, 48)
  for (const [i, { bytes }] of files.entries()) {
    const part = mail.parts[i + 1]
    assert.is(part?.size, bytes.length)
    assert.ok(part !== undefined && same(await collect(part.content()), bytes), `part ${i}`)
  }
  assert.equal(record, told)
})

test('a file without a text, and a text/plain file without a name, are files', async () => {
  const one = await roundTrip({ files: [{ type: 'text/plain', name: 'a.txt', bytes: utf8('a') }] })
  assert.equal(one.mail.parts.map(({ kind, type, name }) => ({ kind, type, name })), [{ kind: 'file', type: 'text/plain', name: 'a.txt' }])
  const two = await roundTrip({ text: 't\n', files: [{ type: 'text/plain', bytes: utf8('b\n') }] })
  assert.equal(two.mail.parts.map(({ kind, name }) => ({ kind, name })), [{ kind: 'text', name: undefined }, { kind: 'file', name: undefined }])
})

test('a part over 10 MiB is a reference to a file of the home', async () => {
  const id = 'ab'.repeat(32)
  const context = { from: BOB, to: BOB, other: BOB.key, received: 0, boundary: 'b'.repeat(40), content: () => assert.unreachable() as never }
  const parts = [
    { type: 'video/mp4', name: 'höhle.mp4', size: EMBED_MAX + 1 },
    { type: 'text/plain', size: 3 },
  ]
  const fields = mailFromHead({ id, created: 0n, header: { parts } }, { ...context, content: async function* () { yield utf8('abc') } })
  const mail = await read(await composed(fields))
  const [large, small] = mail.parts
  assert.equal({ ...large, content: 0 }, { kind: 'file', type: 'video/mp4', name: 'höhle.mp4', size: EMBED_MAX + 1, external: `files/${id}/0`, content: 0 })
  assert.is(small?.kind, 'file')
})

test('a reference to any other file is not followed', async () => {
  for (const name of ['/etc/passwd', 'files/../identity.key', `files/${'ab'.repeat(32)}/../../token`, 'identity.key']) {
    const raw = utf8(`From: x\nContent-Type: message/external-body; access-type=local-file; name="${name}"\n\nContent-Type: text/plain\n\n`)
    const mail = await read(raw)
    assert.ok(mail.parts.every(({ external }) => external === undefined))
  }
})

test('headers have the promised form', async () => {
  const key = BOB.key
  const { mail } = mailOf({ text: '\n  see you\nat 8\n', created: 1_790_000_000_123_456n, received: 1_790_000_060_000_000n, id: '1f'.repeat(32) })
  const lines = headerLines(await composed(mail))
  for (const line of [
    `From: bob <${key}@p2p.invalid>`,
    'Date: Mon, 21 Sep 2026 14:13:20 +0000',
    `Message-ID: <${'1f'.repeat(32)}@p2p.invalid>`,
    `References: <chat.20260921.${key}@p2p.invalid>`,
    'Subject: see you',
    'X-P2P-Received: 2026-09-21T14:14:20.000Z',
    'X-P2P-Verified: no',
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
  ]) assert.ok(lines.includes(line), line)
  assert.not.ok(lines.some((line) => line.startsWith('X-P2P-Sender-Date') || line.startsWith('Auto-Submitted')))
})

test('a clock that is off by more than ten minutes is told, and Date is never later than receipt', async () => {
  const received = 1_790_000_000_000_000n
  for (const [offset, told] of [[600_000_000n, false], [600_001_000n, true], [-600_001_000n, true], [-1n, false]] as const) {
    const { mail } = mailOf({ text: 'x\n', received, created: received + offset })
    const head = headerLines(await composed(mail)).join('\n')
    assert.is(head.includes('X-P2P-Sender-Date: '), told)
    assert.ok(mail.date <= Number(received / 1000n))
  }
})

test('a reply refers to its message, one id a line, and adds no Re:', async () => {
  const ids = ['0a', '0b'].map((two) => two.repeat(32))
  const { mail } = mailOf({ text: 'yes\n', reply: ids[1] ?? '' })
  const lines = headerLines(await composed({ ...mail, references: ids }))
  assert.ok(lines.includes(`In-Reply-To: <${ids[1]}@p2p.invalid>`))
  assert.is(lines.indexOf(` <${ids[1]}@p2p.invalid>`), lines.indexOf(`References: <${ids[0]}@p2p.invalid>`) + 1)
  assert.ok(lines.includes('Subject: yes'))
  assert.not.ok(lines.some((line) => line.includes('chat.')))
})

test('a reaction is one as RFC 9078 has it, and an empty one withdraws', async () => {
  for (const reaction of ['👍', '']) {
    const { mail, raw, record, told } = await roundTrip({ text: '', reply: '0c'.repeat(32), reaction })
    assert.match(Buffer.from(raw).toString(), /^Content-Disposition: reaction$/m)
    assert.equal(mail.parts.map(({ kind }) => kind), ['reaction'])
    assert.is((record as { reaction: string }).reaction, reaction)
    assert.equal(record, told)
  }
})

test('a subject is made of the first line with something in it, cut to 72 columns', () => {
  const subject = (text: string): string | undefined => subjectOf({ text: utf8(text), files: [] })
  assert.is(subject(''), undefined)
  assert.is(subject(' \n\t\n'), undefined)
  assert.is(subject('\n \n  hi there \nx'), 'hi there')
  assert.is(subject('x'.repeat(100)), 'x'.repeat(72))
  assert.is(subject('漢'.repeat(100)), '漢'.repeat(36))
  assert.is(subject(`a${'漢'.repeat(100)}`), `a${'漢'.repeat(35)}`)
  assert.is(subject('👨‍👩‍👧‍👦'.repeat(80)), '👨‍👩‍👧‍👦'.repeat(36))
  assert.is(subject('e\u0301'.repeat(80)), 'e\u0301'.repeat(72))
  assert.is(subject('one\rtwo'), 'one')
  assert.is(subjectOf({ files: [{ type: 'a/b', name: 'pic.png', size: 1 }] }), 'pic.png')
  assert.is(subjectOf({ subject: 'given', text: utf8('text'), files: [] }), 'given')
  assert.is(cutColumns('ab', 1), 'a')
})

test('media types that a mail reader would open are octets', async () => {
  for (const [type, becomes] of [
    ['image/PNG', 'image/png'],
    ['message/rfc822', 'application/octet-stream'],
    ['multipart/mixed', 'application/octet-stream'],
    ['text/html; charset=x', 'application/octet-stream'],
    ['text/plain\r\nBcc: eve', 'application/octet-stream'],
    ['', 'application/octet-stream'],
  ] as const) {
    const { mail, record } = await roundTrip({ text: 'x\n', files: [{ type, name: 'n', bytes: utf8('y') }] })
    assert.is(mail.parts[1]?.type, becomes)
    assert.equal((record as { parts: unknown }).parts, [{ type: becomes, name: 'n', size: 1 }])
  }
})

const FIELDS = ['from', 'to', 'date', 'message-id', 'in-reply-to', 'references', 'subject', 'x-p2p-created', 'x-p2p-sender-date',
  'x-p2p-received', 'x-p2p-verified', 'mime-version', 'content-type', 'content-transfer-encoding', 'content-disposition']

/** Text as peers may send it: anything, with a liking for what headers are made of. */
const nasty = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: 'grapheme', maxLength: 100 }),
  fc.array(fc.constantFrom('\r\n', '\n', '\r', 'Bcc: eve@example.org', '=?utf-8?B?Cg==?=', '=?utf-8?Q?=0A?=', '"', '\\', ';', '%0A', ' ', '\t', 'ü', '👍', '\0', '--', 'x'.repeat(80)), { maxLength: 20 }).map((parts) => parts.join('')),
)

test('text goes as it is only where every program leaves it as it is', () => {
  const line = (length: number): string => `${'y'.repeat(length)}\n`
  for (const [text, safe] of [
    ['x\n', true], ['\n', true], [line(998), true], [line(999), false], [`${line(998)}x\n`, true], [`x\n${line(999)}x\n`, false],
    ['x', false], ['x\ny', false], ['', false], ['a\0b\n', false], ['a\rb\n', false], ['a\r\n', false], ['ü\n', true],
  ] as const) assert.is(isEightBitSafe(utf8(text)), safe, JSON.stringify(text.slice(-20)))
})

test('what a mail program decodes has no control characters: it may write it into a header of an answer', async () => {
  await fc.assert(fc.asyncProperty(nasty, async (text) => {
    const { record } = await roundTrip({ text: 'x\n', subject: text, from: { name: text, key: BOB.key }, files: [{ name: text, bytes: utf8('y') }] })
    const { subject, from, parts } = record as { subject?: string; from: string; parts: { name: string }[] }
    assert.not.match([subject, from, parts[0]?.name].join(), /[\p{Cc}\p{Cs}\u2028\u2029]/u)
  }), { numRuns: 200 })
})

test('no subject, name or file name can make a header', async () => {
  await fc.assert(fc.asyncProperty(nasty, nasty, nasty, nasty, async (subject, name, file, type) => {
    const { mail } = mailOf({ text: 'x\n', subject, from: { name, key: BOB.key }, files: [{ name: file, type, bytes: utf8('y') }] })
    const raw = await composed(mail)
    assert.ok(Buffer.from(raw).every((byte) => byte !== 0x0d && byte !== 0))
    const lines = headerLines(raw)
    for (const line of lines) assert.ok(/^[ -~]*$/.test(line) && line.length <= 998 && !/^ *$/.test(line), line)
    const parsed = await PostalMime.parse(raw)
    for (const { key } of parsed.headers) assert.ok(FIELDS.includes(key), key)
    const keys = parsed.headers.map(({ key }) => key)
    assert.is(new Set(keys).size, keys.length)
    const from = parsed.from as { name: string; address: string }
    assert.is(from.address, `${BOB.key}@p2p.invalid`)
    assert.is(parsed.attachments.length, 1)
  }), { numRuns: 300 })
})

test('subjects, names and file names come back from our reader and from postal-mime', async () => {
  const printable = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 120 })
    .map((text) => headerText(text, 1000)).filter((text) => text.trim() !== '')
  await fc.assert(fc.asyncProperty(printable, printable, printable, async (subject, name, file) => {
    const { mail } = mailOf({ text: 'x\n', subject, from: { name, key: BOB.key }, files: [{ name: file, bytes: utf8('y') }] })
    const raw = await composed(mail)
    const info = await infoOfRead(await read(raw))
    assert.is(info.subject, subject)
    assert.is(info.from, name)
    assert.is(info.key, BOB.key)
    assert.is(info.parts[0]?.name, cleanName(file))
    const parsed = await PostalMime.parse(raw)
    assert.is(parsed.attachments[0]?.filename, cleanName(file))
    assert.is(parsed.subject?.trim(), subject.trim())
  }), { numRuns: 300 })
})

test('every naughty string survives as subject and file name, and is safe to save', async () => {
  const text = readVectors('strings/blns.json')
  const strings = text === undefined ? ['../../etc/passwd', '..', 'a\0b', '<img src=x>', '社會科學院', '\u202etest', 'CON', '$(touch x)'] : (JSON.parse(text) as string[])
  for (const string of strings) {
    if (string === '') continue
    const { mail, record, told } = await roundTrip({ text: `${string}\n`, subject: string, files: [{ name: string, bytes: utf8(string) }] })
    assert.equal(record, told)
    assert.is(mail.parts[1]?.name, cleanName(string))
    const info = await infoOfRead(mail)
    if (headerText(string, 2048).trim() !== '') assert.is(info.subject, headerText(string, 2048))
    checkSafe(safeName(string))
  }
})

function checkSafe(name: string): void {
  assert.ok(name !== '' && name !== '.' && name !== '..' && Buffer.byteLength(numberedName(name, 999_999)) <= 255, name)
  assert.not.match(name, /[/\\<>:"|?*\p{Cc}\p{Bidi_Control}\p{Cs}]/u)
  assert.not.match(name, /^[.\s-]|[.\s]$/u)
  assert.not.match(name, /^(?:con|prn|aux|nul|com\d|lpt\d)\s*(?:\.|$)/i)
  assert.is(safeName(name), name)
}

test('a file name is made safe, whatever it was', () => {
  for (const [name, safe] of [
    ['photo.jpg', 'photo.jpg'],
    ['../../etc/passwd', '_._.._etc_passwd'],
    ['..', 'file'],
    ['', 'file'],
    [undefined, 'file'],
    ['   ', 'file'],
    ['.bashrc', '_bashrc'],
    ['-rf', '_rf'],
    ['con', '_con'],
    ['NUL.txt', '_NUL.txt'],
    ['a\0b\n.txt', 'a_b_.txt'],
    ['evil\u202egpj.exe', 'evil_gpj.exe'],
    ['name. . .', 'name'],
    ['C:\\x\\y.txt', 'C__x_y.txt'],
    ['größe 漢.txt', 'größe 漢.txt'],
  ] as const) assert.is(safeName(name), safe)
  assert.is(Buffer.byteLength(safeName(`${'漢'.repeat(200)}.tar`)), 247)
  assert.match(safeName(`${'漢'.repeat(200)}.tar`), /\.tar$/)
  assert.is(numberedName('a.tar.gz', 2), 'a.tar-2.gz')
  assert.is(numberedName('README', 1), 'README-1')
  fc.assert(fc.property(nasty, (name) => checkSafe(safeName(name))), { numRuns: 2000 })
})

test('header values never break a line and come back', () => {
  fc.assert(fc.property(nasty, (text) => {
    const clean = headerText(text, 2048)
    const line = textHeader('Subject', clean)
    assert.match(line, /^Subject: [ -~]*(?:\n [ -~]+)*$/)
    assert.ok(line.split('\n').every((part) => part.length <= 78))
    const value = line.slice('Subject: '.length).replace(/\n(?= )/g, '')
    assert.is(decodeWords(value), clean)
    const coded = parameter('filename', clean)
    assert.match(coded, /^;\n filename[ -~]*(?:;\n [ -~]+)*$/)
    assert.is(parseStructured(`attachment${coded.replace(/\n(?= )/g, '')}`).params.get('filename'), clean)
    assert.match(addressHeader('From', clean, 'k@p2p.invalid'), /^From: [ -~]*(?:\n [ -~]+)*(?<=<k@p2p\.invalid>)$/)
  }), { numRuns: 1000 })
})

test('a parameter split into many pieces comes back', () => {
  const name = '漢字'.repeat(150)
  const coded = parameter('filename', name)
  assert.ok(coded.split('\n').every((line) => line.length <= 78))
  assert.is(parseStructured(`attachment${coded.replace(/\n(?= )/g, '')}`).params.get('filename'), name)
})

test('the reader of foreign mail never throws anything but Malformed', async () => {
  const { mail } = mailOf({ text: 'hello\n', files: [{ name: 'a', bytes: BINARY.subarray(0, 300) }] })
  const raw = await composed(mail)
  await fc.assert(fc.asyncProperty(fc.nat(raw.length), fc.uint8Array({ maxLength: 40 }), fc.nat(60), async (at, insert, cut) => {
    const bytes = Buffer.concat([raw.subarray(0, at), insert, raw.subarray(Math.min(raw.length, at + cut))])
    try {
      for (const part of (await read(new Uint8Array(bytes))).parts) await collect(part.content())
    } catch (error) {
      assert.is((error as Error).name, 'Malformed')
    }
  }), { numRuns: 300 })
})

test('a header field is found as a reader finds it that takes all of them apart', () => {
  const names = ['from', 'subject', 'x-p2p-id', 'x', '\u212aey']
  const piece = fc.constantFrom(...names, 'Subject', 'FROM', 'X-P2P-Id', 'Key', ':', ': ', ' :', '\u00a0:', '\n', '\r\n', '\r', '\n ', '\r\n\t', '\nx: İ', '\nSubject: b', ' ', 'a', 'ü', 'İ', 'Σ', '\ufffd')
  fc.assert(fc.property(fc.array(piece, { maxLength: 24 }), (pieces) => {
    const head = pieces.join('')
    const all = new Map<string, string>()
    for (const line of head.replace(/\r?\n(?=[ \t])/g, '').split(/\r?\n/)) {
      const [, name = '', value = ''] = /^([^:]*):(.*)$/s.exec(line) ?? []
      const key = name.trimEnd().toLowerCase()
      if (key !== '' && !all.has(key)) all.set(key, value.trim())
    }
    const found = headersOf(head)
    for (const name of [...names.map((each) => each.toLowerCase()), 'key', 'none']) {
      assert.is(found.get(name), all.get(name), JSON.stringify(head))
      assert.is(found.has(name), all.has(name))
    }
  }), { numRuns: 3000 })
})

test('a mail with CR LF, quoted-printable or nested parts, as other programs write it, is read', async () => {
  const crlf = 'From: x\r\nSubject: =?utf-8?Q?gr=C3=BC=C3=9Fe?=\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=C3=BC\r\n'
  const mail = await read(utf8(crlf))
  assert.is((await infoOfRead(mail)).subject, 'grüße')
  const [part] = mail.parts
  assert.match(Buffer.from(part === undefined ? [] : await collect(part.content())).toString(), /^aü\r?\n?$/)
  const nested = ['From: x', 'Content-Type: multipart/mixed; boundary=a', '', '--a', 'Content-Type: multipart/alternative; boundary=b', '', '--b', 'Content-Type: text/plain', '', 'plain', '--b', 'Content-Type: text/html', '', '<b>x</b>', '--b--', '--a', 'Content-Disposition: attachment; filename=f', '', 'file', '--a--', ''].join('\n')
  const kinds = (await read(utf8(nested))).parts.map(({ kind, name }) => [kind, name])
  assert.equal(kinds, [['text', undefined], ['file', 'f']])
})

test('text in a record is cut at 64 KiB on a character, and says so', () => {
  const info = { id: '1', from: 'bob', parts: [] }
  const cut = messageRecord({ ...info, text: utf8(`x${'漢'.repeat(TEXT_RECORD_MAX)}`) })
  assert.is(cut['truncated'], true)
  assert.is(cut['text'], `x${'漢'.repeat(Math.floor((TEXT_RECORD_MAX - 1) / 3))}`)
  const whole = messageRecord({ ...info, text: utf8('y'.repeat(TEXT_RECORD_MAX)) })
  assert.is(whole['truncated'], undefined)
  assert.equal(Object.keys(messageRecord(info)), ['v', 'type', 'id', 'from'])
})

const BOUNCE: BounceFields = {
  self: { name: 'alice ü', key: BOB.key.replace(/^./, '2') },
  date: 1_790_000_000_000,
  id: '0e'.repeat(32),
  about: '0f'.repeat(32),
  to: BOB,
  subject: 'the photos\nBcc: x',
  created: 1_789_000_000_000,
  code: 'too-big',
  reason: 'bob refused it: too large',
  boundary: 'b0'.repeat(16),
}

test('a bounce says what, why and what to do, and that no person wrote it', async () => {
  const raw = composeBounce(BOUNCE)
  const info = await infoOfRead(await read(raw))
  assert.is(info.from, 'mailer-daemon')
  assert.is(info.key, undefined)
  assert.is(info.subject, 'not delivered to bob: the photos Bcc: x')
  assert.is(info.reply, '0f'.repeat(32))
  assert.is(info.auto, true)
  assert.match(headerLines(raw).join('\n'), /^Auto-Submitted: auto-replied$/m)
  assert.equal(info.parts, [], 'what programs are told is no file')
  assert.match(Buffer.from(info.text ?? []).toString(), /bob refused it: too large[\s\S]*p2p-queue retry 0f0f0f0f0f0f/)
  const notice = await read(composeNotice({ to: BOB, date: 0, id: '0e'.repeat(32), subject: 'x', text: 'line\rbreak' }))
  assert.is(Buffer.from(await collect(notice.parts[0]!.content())).toString(), 'line\rbreak\n')
})

test("Python's email package reads a bounce as the delivery status notification that it is", async () => {
  if (spawnSync('python3', ['--version']).status !== 0) return skipped('python3: not installed')
  const script = `
import email, email.policy, json, sys
out = []
for raw in sys.stdin.buffer.read().split(b'\\0'):
    m = email.message_from_bytes(raw, policy=email.policy.default)
    words, status, original = m.iter_parts()
    out.append({'type': m.get_content_type(), 'report': m.get_param('report-type'), 'defects': sum(len(p.defects) for p in m.walk()),
      'types': [p.get_content_type() for p in m.iter_parts()], 'words': words.get_content(), 'status': [list(map(list, block.items())) for block in status.get_payload()],
      'original': list(map(list, email.message_from_string(original.get_payload(), policy=email.policy.default).items()))})
print(json.dumps(out))
`
  const nasty = { ...BOUNCE, subject: 'größe\n\n--b0b0\r\nX: y', code: 'expired', reason: 'ü\nAction: delivered\n\nmore', to: { name: 'bob\nX: y', key: BOB.key } }
  const raws = [composeBounce(BOUNCE), composeBounce(nasty), composeBounce({ ...BOUNCE, subject: undefined, code: 'odd' })]
  const { stdout, stderr } = spawnSync('python3', ['-c', script], { input: Buffer.concat(raws.flatMap((raw, i) => (i === 0 ? [raw] : [Buffer.of(0), raw]))) })
  assert.is(stderr.toString(), '')
  const found = JSON.parse(stdout.toString()) as { type: string; report: string; defects: number; types: string[]; words: string; status: [string, string][][]; original: [string, string][] }[]
  const codes = ['5.2.3', '4.4.7', '5.0.0']
  for (const [i, { type, report, defects, types, words, status, original }] of found.entries()) {
    assert.equal([type, report, defects], ['multipart/report', 'delivery-status', 0])
    assert.equal(types, ['text/plain', 'message/delivery-status', 'text/rfc822-headers'])
    assert.match(words, /^Your message to bob.* was not delivered\. It waited for 11 days\.\n/)
    const [message, recipient, ...others] = status.map((block) => Object.fromEntries(block) as Record<string, string>)
    assert.equal(others, [])
    assert.equal([message?.['Reporting-MTA'], message?.['Original-Envelope-Id']], ['dns; p2p.invalid', BOUNCE.about])
    assert.equal(Object.keys(recipient ?? {}), ['Original-Recipient', 'Final-Recipient', 'Action', 'Status', 'Diagnostic-Code', 'Last-Attempt-Date'])
    assert.equal([recipient?.['Final-Recipient'], recipient?.['Action'], recipient?.['Status']], [`rfc822; ${BOB.key}@p2p.invalid`, 'failed', codes[i]])
    const names = original.map(([name]) => name)
    assert.equal(names, ['From', 'To', 'Date', 'Message-ID', ...(i === 2 ? [] : ['Subject'])])
    assert.is(Object.fromEntries(original)['Message-ID'], `<${BOUNCE.about}@p2p.invalid>`)
  }
  assert.is(found.length, 3)
})

test("Python's email package reads the same", async () => {
  if (spawnSync('python3', ['--version']).status !== 0) return skipped('python3: not installed')
  const folder = mkdtempSync(`${tmpdir()}/p2p-py-`)
  try {
    const drafts: Draft[] = Object.values(TEXTS).map((text, i) => ({ text, subject: `s${i}`, files: [{ name: `n ${i} ü"\\;.bin`, bytes: BINARY.subarray(0, i * 100) }] }))
    for (const string of fc.sample(nasty, 200)) drafts.push({ text: 'x\n', subject: string, from: { name: string, key: BOB.key }, files: [{ name: string, bytes: utf8(string) }] })
    for (const [i, draft] of drafts.entries()) writeFileSync(`${folder}/${i}`, await composed(mailOf(draft).mail))
    const script = `
import email, email.policy, json, sys
out = []
for i in range(int(sys.argv[2])):
    with open(sys.argv[1] + '/' + str(i), 'rb') as f: m = email.message_from_binary_file(f, policy=email.policy.default)
    out.append({'keys': [k.lower() for k in m.keys()], 'defects': len(m.defects), 'subject': str(m['subject']),
      'address': m['from'].addresses[0].addr_spec, 'parts': [[p.get_payload(decode=True).hex(), p.get_filename()] for p in m.iter_parts()]})
print(json.dumps(out))
`
    const { stdout, stderr } = spawnSync('python3', ['-c', script, folder, String(drafts.length)], { maxBuffer: 1 << 28 })
    assert.is(stderr.toString(), '')
    const results = JSON.parse(stdout.toString()) as { keys: string[]; defects: number; subject: string; address: string; parts: [string, string | null][] }[]
    for (const [i, draft] of drafts.entries()) {
      const result = results[i]!
      for (const key of result.keys) assert.ok(FIELDS.includes(key), key)
      assert.is(result.defects, 0)
      assert.is(result.address, `${BOB.key}@p2p.invalid`)
      const [text, file] = result.parts
      assert.is(text?.[0], hex(bytesOf(draft.text ?? '')))
      assert.is(file?.[0], hex(draft.files?.[0]?.bytes ?? new Uint8Array()))
      assert.is(result.parts.length, 2)
      const name = draft.files?.[0]?.name ?? ''
      if (/^[\p{L}\p{N}\p{P} ]+$/u.test(name) && !/["\\]/.test(name)) assert.is(file?.[1]?.trim(), cleanName(name).trim())
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.run()
