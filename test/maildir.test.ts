// inbox/ and sent/ while other programs move, flag and delete what is in them.

import { readdirSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { getHeapSpaceStatistics } from 'node:v8'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { collect } from '../lib/base/bytes.ts'
import { IdTable } from '../lib/base/idtable.ts'
import { realDoors, type Home } from '../lib/disk/home.ts'
import { findMails, listMaildir, mailName, setFlags, withMail, writeMail } from '../lib/disk/maildir.ts'
import { MailRoll } from '../lib/disk/mailroll.ts'
import { markDelivered, prepareSent, publishSent, type SentPart } from '../lib/disk/sent.ts'
import { openSource, readMail } from '../lib/wire/mailread.ts'
import { EMBED_MAX } from '../lib/wire/mail.ts'
import { BOB, EVE, deliver, mailOf, withHome, writeSent } from './mailbox.ts'

const names = (home: Home, ...folder: string[]): string[] => readdirSync(home.at(...folder)).sort()

const partsOf = (contents: Uint8Array[]): SentPart[] =>
  contents.map((bytes) => ({
    async *content() {
      yield bytes
    },
  }))

test('once many mails were listed what is made later gets no more room than it has', async () => {
  const major = Number(process.versions.node.split('.')[0])
  const room = (): number => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? NaN
  await withHome(async (home) => {
    for (let i = 0; i < 8200; i++) writeFileSync(home.at('inbox', 'new', mailName(BigInt(i), i.toString(16).padStart(64, '0'))), '')
    await MailRoll.read(home, ['inbox'])
    const before = room()
    assert.ok(before < 32 * 1024 * 1024, `${before} is the most that it may have`)
    const kept = Array.from({ length: 400_000 }, (_, i) => ({ i, list: [i] })) // V8 would give it 32 MiB
    assert.is(kept.length, 400_000)
    const least = 2 * 1024 * 1024 // of which a process that waited for a processor has given one half back, until it needs it
    if (major < 24) assert.is(room(), Math.max(before, least)) // from then on it grows by other rules, too, only less
  })
})

test('a delivered message is new/TIME.ID.p2p with the time of receipt, and nothing is left in tmp', async () => {
  await withHome(async (home) => {
    const { id, path } = await deliver(home, { text: 'hi\n', received: 1_790_000_000_123_456n })
    assert.is(path, home.at('inbox', 'new', `1790000000123456.${id.slice(0, 32)}.p2p`))
    assert.is(Math.round(statSync(path).mtimeMs), 1_790_000_000_123)
    assert.is(statSync(path).mode & 0o777, 0o600)
    assert.equal(names(home, 'inbox', 'tmp'), [])
  })
})

test('a message that cannot be written whole leaves nothing', async () => {
  await withHome(async (home) => {
    const { mail } = mailOf({ text: 'hi\n', files: [{ name: 'f', bytes: new Uint8Array(10) }] })
    for (const file of mail.files) file.size += 1
    let message = ''
    await writeMail(home.files, home.at('inbox', 'tmp', 'x'), mail).catch((error: Error) => (message = error.message))
    assert.match(message, /10 bytes where 11 were announced/)
    assert.equal(names(home, 'inbox', 'tmp'), [])
  })
})

test('a list shows each message once, oldest first, with its flags, foreign files included', async () => {
  await withHome(async (home) => {
    const a = await deliver(home, { text: 'a\n', received: 2_000_000n })
    const b = await deliver(home, { text: 'b\n', received: 1_000_000n })
    renameSync(a.path, home.at('inbox', 'cur', `${a.path.split('/').at(-1)}:2,SR`))
    writeFileSync(home.at('inbox', 'cur', '1500000000.R1.host:2,FS'), 'Subject: x\n\n')
    writeFileSync(home.at('inbox', 'cur', '.hidden'), '')
    const entries = await listMaildir(home, 'inbox')
    assert.equal(entries.map(({ flags }) => flags), ['', 'RS', 'FS'])
    assert.equal(entries.map(({ id32 }) => id32), [b.id.slice(0, 32), a.id.slice(0, 32), undefined])
    assert.is(entries[2]?.time, 1_500_000_000_000_000n)
  })
})

const ID32 = '0123456789abcdef'.repeat(2)
const names32 = fc.oneof(fc.constant(ID32), fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 32, maxLength: 32 }))
const times = fc.oneof(fc.nat({ max: 3 }), fc.constantFrom('007', '9007199254740993', '99999999999999999', 1_790_000_000_123_456))
const bases = fc.oneof(
  fc.tuple(times, names32).map(([us, id]) => `${us}.${id}.p2p`),
  fc.constantFrom(`5.${ID32}.p2p.other`, `5.${ID32.toUpperCase()}.p2p`, '1500000000.R1.host', 'grüße', `5.${ID32}`, 'x'),
)
const infos = fc.oneof(fc.constant(''), fc.constant(':2,'), fc.constantFrom(':2,S', ':2,FS', ':2,SF', ':2,SS', ':2,aS', ':2,S:2,F', ':2,DFPRST'))

test('a roll has every mail that a list has, in the same order, whatever the files are called', async () => {
  await withHome(async (home) => {
    const entry = fc.record({ box: fc.constantFrom('inbox' as const, 'sent' as const), folder: fc.constantFrom('new' as const, 'cur' as const), base: bases, info: infos })
    await fc.assert(fc.asyncProperty(fc.uniqueArray(entry, { selector: ({ box, base }) => `${box}/${base}`, maxLength: 40 }), fc.nat({ max: 4 }), async (files, since) => {
      const paths = files.map(({ box, folder, base, info }) => home.at(box, folder, base + info))
      for (const path of paths) writeFileSync(path, '')
      try {
        const roll = await MailRoll.read(home, ['inbox', 'sent'], BigInt(since))
        const rows = Array.from({ length: roll.count }, (_, row) => roll.entry(row))
        for (const box of ['inbox', 'sent'] as const) {
          assert.equal(rows.filter((one) => one.box === box), await listMaildir(home, box, BigInt(since)))
          if (since === 0) assert.equal(await roll.changed(box), [], 'nothing has changed')
        }
        for (const [row, one] of rows.entries()) {
          assert.equal([roll.find(one.box, one.base), roll.find(one.box, `${one.base}:2,T`), roll.isUnseen(row)], [row, row, !one.flags.includes('S')])
          assert.is(roll.set({ ...one, path: home.at(one.box, 'cur', `${one.base}:2,RS`) }), row)
          assert.equal([roll.entry(row).flags, roll.entry(row).base, roll.entry(row).time], ['RS', one.base, one.time])
        }
        assert.is(roll.find('inbox', `4.${ID32.replace('0', '1')}.p2p`), -1)
      } finally {
        for (const path of paths) unlinkSync(path)
      }
    }), { numRuns: 60 })
  })
})

test('a roll grows, and tells what has come or was renamed since', async () => {
  await withHome(async (home) => {
    const ids = Array.from({ length: 3000 }, (_, i) => i.toString(16).padStart(32, '0'))
    for (const [i, id] of ids.entries()) writeFileSync(home.at('inbox', 'cur', `${i}.${id}.p2p:2,S`), '')
    const roll = await MailRoll.read(home, ['inbox'])
    assert.equal(ids.map((id, i) => roll.find('inbox', `${i}.${id}.p2p`)), ids.map((_, i) => i))
    renameSync(home.at('inbox', 'cur', `7.${ids[7]}.p2p:2,S`), home.at('inbox', 'cur', `7.${ids[7]}.p2p:2,RS`))
    writeFileSync(home.at('inbox', 'new', `9000.${ids[7]}.p2p`), '')
    const changed = await roll.changed('inbox')
    assert.equal(changed.map(({ base, flags }) => `${base} ${flags}`).sort(), [`7.${ids[7]}.p2p RS`, `9000.${ids[7]}.p2p `])
    assert.equal(changed.map((entry) => roll.set(entry)).sort((a, b) => a - b), [7, 3000], 'a new row behind the others')
    assert.equal([await roll.changed('inbox'), roll.count], [[], 3001])
    const found = await findMails(home, 'inbox', new Set([ids[7] as string, ids[9] as string, 'f'.repeat(32)]))
    assert.equal([...found.values()].map(({ flags }) => flags).sort(), ['RS', 'S'])
  })
})

test('ids by numbers are the ids again', () => {
  const table = new IdTable(() => 1)
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 }), (id) => {
    const before = table.find(id)
    const number = table.take(id)
    assert.equal([table.text(number), table.find(id), table.take(id), before === 0 || before === number], [id, number, number, true])
  }), { numRuns: 3000 })
  for (const bad of ['', 'x'.repeat(64), 'A'.repeat(64), '0'.repeat(63), '0'.repeat(65)]) assert.equal([table.take(bad), table.find(bad)], [0, 0])
})

test('a message that moves from new to cur between the two readings is seen once', async () => {
  let moves = 0
  const files = {
    ...realDoors.files,
    async *pieces(directory: string) {
      const found = await realDoors.files.list(directory)
      if (directory.endsWith('inbox/new') && moves++ === 0) {
        for (const name of found) renameSync(`${directory}/${name}`, `${directory}/../cur/${name}:2,S`)
      }
      yield found
    },
  }
  await withHome(async (home) => {
    const { id } = await deliver(home, { text: 'a\n' })
    const entries = await listMaildir(home, 'inbox')
    assert.equal(entries.map(({ id32, flags }) => ({ id32, flags })), [{ id32: id.slice(0, 32), flags: 'S' }])
  }, { ...realDoors, files })
})

test('a message that is flagged while the folder is read is not missed', async () => {
  let reads = 0
  const files = {
    ...realDoors.files,
    async *pieces(directory: string) {
      const found = await realDoors.files.list(directory)
      if (!directory.endsWith('inbox/cur') || reads++ > 0) {
        yield found
        return
      }
      for (const name of found) renameSync(`${directory}/${name}`, `${directory}/${name}F`)
      yield [] // readdir may pass over what is renamed meanwhile
    },
  }
  await withHome(async (home) => {
    const { path } = await deliver(home, { text: 'a\n' })
    renameSync(path, home.at('inbox', 'cur', `${path.split('/').at(-1)}:2,`))
    assert.is((await listMaildir(home, 'inbox')).length, 1)
  }, { ...realDoors, files })
})

test('a message is opened wherever it has moved to, and gone is an answer', async () => {
  await withHome(async (home) => {
    const { path } = await deliver(home, { text: 'a\n' })
    const [entry] = await listMaildir(home, 'inbox')
    assert.ok(entry)
    const moved = home.at('inbox', 'cur', `${entry.base}:2,FRS`)
    renameSync(path, moved)
    assert.is(await withMail(home, entry, async (_, at) => at.path), moved)
    unlinkSync(moved)
    assert.is(await withMail(home, entry, async () => 'there'), undefined)
    assert.is(await setFlags(home, entry, { add: 'S' }), undefined)
  })
})

test('setting a flag moves a message out of new and keeps what another program set meanwhile', async () => {
  await withHome(async (home) => {
    await deliver(home, { text: 'a\n' })
    const [entry] = await listMaildir(home, 'inbox')
    assert.ok(entry)
    const seen = await setFlags(home, entry, { add: 'S' })
    assert.equal(names(home, 'inbox', 'cur'), [`${entry.base}:2,S`])
    renameSync(home.at('inbox', 'cur', `${entry.base}:2,S`), home.at('inbox', 'cur', `${entry.base}:2,RST`))
    const both = await setFlags(home, seen ?? entry, { add: 'F', remove: 'S' })
    assert.is(both?.flags, 'FRT')
    assert.equal(names(home, 'inbox', 'cur'), [`${entry.base}:2,FRT`])
  })
})

test('the bytes of a message are synced before its file is closed', async () => {
  const steps: string[] = []
  const files = {
    ...realDoors.files,
    async open(path: string, mode: 'read' | 'append' | 'create' | 'update') {
      const handle = await realDoors.files.open(path, mode)
      if (!path.includes('/inbox/tmp/')) return handle
      return {
        read: (position: number, length: number) => handle.read(position, length),
        write: (bytes: Uint8Array) => (steps.push('write'), handle.write(bytes)),
        sync: () => (steps.push('sync'), handle.sync()),
        truncate: (size: number) => handle.truncate(size),
        size: () => handle.size(),
        close: () => (steps.push('close'), handle.close()),
      }
    },
  }
  await withHome(async (home) => {
    await deliver(home, { text: 'hi\n' })
  }, { ...realDoors, files })
  assert.equal(steps, ['write', 'sync', 'close'])
})

test('a full disk while the copy in sent/ is written leaves nothing of it', async () => {
  const files = {
    ...realDoors.files,
    async open(path: string, mode: 'read' | 'append' | 'create' | 'update') {
      const handle = await realDoors.files.open(path, mode)
      if (path.includes('/sent/tmp/')) handle.write = () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }))
      return handle
    },
  }
  await withHome(async (home, self) => {
    const { head, contents } = mailOf({ text: 'a\n' })
    let code = ''
    await writeSent(home, self, [{ contact: BOB, head, parts: partsOf(contents) }]).catch((error: NodeJS.ErrnoException) => (code = error.code ?? ''))
    assert.is(code, 'ENOSPC')
    assert.equal([names(home, 'sent', 'tmp'), names(home, 'sent', 'cur')], [[], []])
  }, { ...realDoors, files })
})

test('a sent copy is flagged S and F until it is delivered, whatever a mail program does to it', async () => {
  await withHome(async (home, self) => {
    const drafts = ['a', 'b', 'c', 'd'].map((text, i) => mailOf({ text, created: BigInt(1_790_000_000_000_000 + i) }))
    const paths = await writeSent(home, self, drafts.map(({ head, contents }) => ({ contact: BOB, head, parts: partsOf(contents) })))
    const bases = drafts.map(({ head }) => mailName(head.created, head.id))
    assert.equal(paths, bases.map((base) => home.at('sent', 'cur', `${base}:2,FS`)))
    assert.equal(names(home, 'sent', 'tmp'), [])
    renameSync(paths[1] ?? '', home.at('sent', 'cur', `${bases[1]}:2,FRS`))
    renameSync(paths[2] ?? '', home.at('sent', 'cur', `${bases[2]}:2,S`))
    unlinkSync(paths[3] ?? '')
    const delivered = drafts.map(({ head }) => head)
    for (let twice = 0; twice < 2; twice++) {
      await markDelivered(home, delivered)
      assert.equal(names(home, 'sent', 'cur'), [`${bases[0]}:2,S`, `${bases[1]}:2,RS`, `${bases[2]}:2,S`])
    }
    const text = readFileSync(home.at('sent', 'cur', `${bases[0]}:2,S`), 'utf8')
    assert.match(text, new RegExp(`^From: alice <${self.key}@p2p\\.invalid>\nTo: bob <${BOB.key}@p2p\\.invalid>\n`))
    assert.match(text, new RegExp(`^References: <chat\\.20260921\\.${BOB.key}@p2p\\.invalid>$`, 'm'))
    assert.not.match(text, /X-P2P-(?:Received|Verified)/)
  })
})

test('a sent copy that its writer did not live to show is shown when the message is delivered', async () => {
  await withHome(async (home, self) => {
    const { head, contents } = mailOf({ text: 'a\n' })
    const copy = await prepareSent(home, self, { contact: BOB, head, parts: partsOf(contents) })
    await markDelivered(home, [head])
    assert.equal(names(home, 'sent', 'cur'), [`${mailName(head.created, head.id)}:2,S`])
    assert.equal(names(home, 'sent', 'tmp'), [])
    await publishSent(home, [copy]) // its writer lives, and comes too late
    assert.equal(names(home, 'sent', 'cur'), [`${mailName(head.created, head.id)}:2,S`])
  })
})

test('chat_threads = false leaves the thread of the day out', async () => {
  await withHome(async (home, self) => {
    const { head, contents } = mailOf({ text: 'a\n' })
    const [path = ''] = await writeSent(home, self, [{ contact: BOB, head, parts: partsOf(contents) }], { chatThreads: false })
    assert.not.match(readFileSync(path, 'utf8'), /References/)
  })
})

test('a part over 10 MiB is linked into files/, or copied where there is nothing to link, and a second copy is fine', async () => {
  await withHome(async (home, self) => {
    const large = new Uint8Array(EMBED_MAX + 1).fill(7)
    const { head, contents } = mailOf({ text: 'look\n', files: [{ name: 'a.bin', bytes: large }, { name: 'b.bin', bytes: large }] })
    const body = home.at('queue', 'body')
    writeFileSync(body, large)
    const parts = partsOf(contents)
    const linked = parts[1]
    assert.ok(linked)
    linked.link = (path) => home.files.link(body, path)
    const [path = ''] = await writeSent(home, self, [{ contact: EVE, head, parts }])
    assert.is(statSync(home.at('files', head.id, '1')).ino, statSync(body).ino)
    assert.is(statSync(home.at('files', head.id, '2')).size, large.length)
    assert.ok(statSync(path).size < 4000)
    assert.not.ok(readFileSync(path, 'utf8').includes(home.path))
    const handle = await home.files.open(path, 'read')
    const mail = await readMail(await openSource(handle))
    assert.equal(mail.parts.map(({ external, size, name }) => ({ external, size, name })), [
      { external: undefined, size: 5, name: undefined },
      { external: `files/${head.id}/1`, size: large.length, name: 'a.bin' },
      { external: `files/${head.id}/2`, size: large.length, name: 'b.bin' },
    ])
    await handle.close()
    await writeSent(home, self, [{ contact: EVE, head, parts }])
    assert.is(names(home, 'sent', 'cur').length, 1)
  })
})

test('a file as large as allowed inside a message comes back exactly without being loaded whole', async () => {
  await withHome(async (home) => {
    const bytes = new Uint8Array(EMBED_MAX).map((_, i) => (i * 31) ^ (i >> 11))
    const { path } = await deliver(home, { text: 'x\n', files: [{ name: 'a.bin', bytes }] })
    const handle = await home.files.open(path, 'read')
    let asked = 0
    const mail = await readMail(await openSource({
      read: (position, length) => {
        asked += length
        return handle.read(position, length)
      },
      size: () => handle.size(),
    }))
    assert.is(mail.parts[1]?.size, bytes.length)
    assert.ok(asked < 1 << 20, `${asked} bytes read to find the parts`)
    const back = mail.parts[1] === undefined ? bytes.subarray(1) : await collect(mail.parts[1].content())
    assert.ok(Buffer.compare(back, bytes) === 0)
    await handle.close()
  })
})

test.run()
