// Real mail programs on what was delivered and sent: each opens both folders, finds every message, and gives back the
// exact bytes of text and attachment. Where a program is not installed its test is skipped (and fails with CI=true).

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { utf8 } from '../lib/base/bytes.ts'
import type { Home } from '../lib/disk/home.ts'
import { EMBED_MAX } from '../lib/wire/mail.ts'
import { composeBounce } from '../lib/wire/notice.ts'
import { BINARY, BOB, bytesOf, deliver, mailOf, TEXTS, withHome, writeSent, type Draft } from './mailbox.ts'
import { skipped } from './vectors.ts'

const BOXES = ['inbox', 'sent'] as const
/** NeoMutt turns CR LF into LF in any text that it saves, whatever the encoding. */
const CRLF = 'CR LF line ends'
const FILE = 'größe "1" ; 漢字 .png'

interface Expected {
  box: (typeof BOXES)[number]
  id: string
  path: string
  subject: string
  text: Uint8Array
  file: Uint8Array | undefined
}

function drafts(): (Draft & { subject: string })[] {
  const files = [{ type: 'image/png', name: FILE, bytes: BINARY }]
  const plain = Object.entries(TEXTS).map(([subject, text]) => ({ subject, text }))
  return [...plain, { subject: 'Dateien für dich 🎉', text: 'with a file\n', files }, { subject: 'empty with a file', text: '', files }]
}

/** Both folders with the same messages, and one that has a part outside. */
async function fill(home: Home, self: { name: string; key: string }): Promise<Expected[]> {
  const expected: Expected[] = []
  let us = 1_790_000_000_000_000n
  for (const draft of drafts()) {
    us += 1_000_000n
    const common = { subject: draft.subject, text: bytesOf(draft.text ?? ''), file: draft.files?.[0]?.bytes }
    const { id, path } = await deliver(home, { ...draft, received: us, created: us })
    expected.push({ box: 'inbox', id, path, ...common })
    const { head, contents } = mailOf({ ...draft, created: us })
    const [sent = ''] = await writeSent(home, self, [{ contact: BOB, head, parts: contents.map(partOf) }])
    expected.push({ box: 'sent', id: head.id, path: sent, ...common })
  }
  const large = mailOf({ text: 'a film\n', subject: 'large', files: [{ type: 'video/mp4', name: 'film.mp4', bytes: new Uint8Array(EMBED_MAX + 1) }], created: us })
  const [path = ''] = await writeSent(home, self, [{ contact: BOB, head: large.head, parts: large.contents.map(partOf) }])
  expected.push({ box: 'sent', id: large.head.id, path, subject: 'large', text: utf8('a film\n'), file: undefined })
  return expected
}

const partOf = (bytes: Uint8Array): { content(): AsyncGenerator<Uint8Array> } => ({
  async *content() {
    yield bytes
  },
})

/** Runs `work` on filled folders if all programs are there. */
async function withReaders(programs: string[], work: (home: Home, expected: Expected[], run: Run) => void): Promise<void> {
  for (const program of programs) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return skipped(`${program}: not installed`)
  }
  await withHome(async (home, self) => {
    const user = home.at('user')
    mkdirSync(user)
    const env = { ...process.env, HOME: user, LC_ALL: 'C.UTF-8', TERM: 'xterm', NOTMUCH_CONFIG: join(user, 'notmuch'), MBLAZE: user, MAILRC: '/dev/null' }
    const run: Run = (program, ...args) => {
      const { status, stdout, stderr } = spawnSync(program, args, { env, maxBuffer: 1 << 28, timeout: 120_000 })
      assert.is(status, 0, `${program} ${args.slice(0, 3).join(' ')}: ${status} ${stderr?.toString().slice(0, 2000)}`)
      return stdout
    }
    work(home, await fill(home, self), run)
  })
}

type Run = (program: string, ...args: string[]) => Buffer

const exact = (got: Uint8Array, want: Uint8Array, what: string): void => {
  assert.ok(Buffer.compare(got, want) === 0, `${what}: ${Buffer.from(got).subarray(0, 60).toString('latin1')} (${got.length} of ${want.length} bytes)`)
}

const multipart = ({ file, subject }: Expected): boolean => file !== undefined || subject === 'large'

test("Python's mailbox", async () => {
  await withReaders(['python3'], (home, expected, run) => {
    const script = `
import mailbox, json, sys, email, email.policy
out = {}
for key, m in mailbox.Maildir(sys.argv[1], factory=None, create=False).iteritems():
    p = email.message_from_bytes(m.as_bytes(), policy=email.policy.default)
    leaves = [x for x in p.walk() if not x.is_multipart()]
    out[m['Message-ID']] = {'flags': m.get_flags(), 'dir': m.get_subdir(), 'subject': p['subject'], 'from': p['from'].addresses[0].display_name,
      'parts': [[x.get_payload(decode=True).hex(), x.get_filename()] for x in leaves]}
print(json.dumps(out))`
    for (const box of BOXES) {
      const found = JSON.parse(run('python3', '-c', script, home.at(box)).toString()) as Record<string, { flags: string; dir: string; subject: string; from: string; parts: [string, string | null][] }>
      const ours = expected.filter((each) => each.box === box)
      assert.is(Object.keys(found).length, ours.length)
      for (const each of ours) {
        const message = found[`<${each.id}@p2p.invalid>`]
        assert.ok(message, each.subject)
        assert.equal([message.flags, message.dir, message.from], box === 'inbox' ? ['', 'new', 'bob'] : ['FS', 'cur', 'alice'])
        assert.is(message.subject, each.subject)
        exact(Buffer.from(message.parts[0]?.[0] ?? '', 'hex'), each.text, each.subject)
        if (each.file === undefined) continue
        exact(Buffer.from(message.parts[1]?.[0] ?? '', 'hex'), each.file, 'file')
        assert.is(message.parts[1]?.[1], FILE)
      }
    }
  })
})

test('mblaze', async () => {
  await withReaders(['mlist', 'mscan', 'mshow', 'mhdr'], (home, expected, run) => {
    for (const box of BOXES) {
      const ours = expected.filter((each) => each.box === box)
      const listed = run('mlist', home.at(box)).toString().trim().split('\n').sort()
      assert.equal(listed, ours.map(({ path }) => path).sort())
      const scan = run('mscan', '-f', '%s', ...ours.map(({ path }) => path)).toString().trim().split('\n')
      assert.is(scan.length, ours.length)
      assert.ok(scan.some((line) => line.includes('Dateien für dich 🎉')))
    }
    for (const each of expected) {
      assert.is(run('mhdr', '-d', '-h', 'subject', each.path).toString(), `${each.subject}\n`)
      const [text, file] = multipart(each) ? ['2', '3'] : ['1', '']
      exact(run('mshow', '-O', each.path, text), each.text, each.subject)
      if (each.file === undefined) continue
      exact(run('mshow', '-O', each.path, file), each.file, 'file')
      assert.ok(run('mshow', '-t', each.path).toString().includes(`name="${FILE}"`))
    }
  })
})

test('notmuch', async () => {
  await withReaders(['notmuch'], (home, expected, run) => {
    const lines = ['[database]', `path=${home.path}`, '[user]', 'name=a', 'primary_email=a@p2p.invalid', '[new]', 'tags=new', 'ignore=/^(contacts|files|hello|hooks|lock|part|queue|user|seen.*)$/']
    writeFileSync(home.at('user', 'notmuch'), `${lines.join('\n')}\n[maildir]\nsynchronize_flags=true\n`)
    run('notmuch', 'new', '--quiet')
    assert.is(Number(run('notmuch', 'count', '*').toString()), expected.length)
    assert.is(Number(run('notmuch', 'count', 'tag:flagged').toString()), expected.filter(({ box }) => box === 'sent').length)
    for (const each of expected) {
      const what = `id:${each.id}@p2p.invalid`
      const [text, file] = multipart(each) ? ['2', '3'] : ['1', '']
      exact(run('notmuch', 'show', '--format=raw', `--part=${text}`, what), each.text, each.subject)
      if (each.file !== undefined) exact(run('notmuch', 'show', '--format=raw', `--part=${file}`, what), each.file, 'file')
    }
    const [shown] = (JSON.parse(run('notmuch', 'show', '--format=json', '--body=false', 'subject:Dateien').toString()) as { headers: { Subject: string } }[][][]).flat(2)
    assert.is(shown?.headers.Subject, 'Dateien für dich 🎉')
  })
})

test('mu', async () => {
  await withReaders(['mu'], (home, expected, run) => {
    const at = (name: string): string => home.at('user', name)
    run('mu', 'init', '--quiet', `--muhome=${at('mu')}`, `--maildir=${home.path}`)
    run('mu', 'index', '--quiet', `--muhome=${at('mu')}`)
    const found = run('mu', 'find', `--muhome=${at('mu')}`, '--nocolor', '--fields=i l', '').toString().trim().split('\n')
    assert.equal(found.sort(), expected.map(({ id, path }) => `${id}@p2p.invalid ${path}`).sort())
    assert.is(run('mu', 'find', `--muhome=${at('mu')}`, '--nocolor', '--fields=l', 'flag:flagged').toString().trim().split('\n').length, expected.filter(({ box }) => box === 'sent').length)
    assert.match(run('mu', 'find', `--muhome=${at('mu')}`, '--nocolor', '--fields=s', 'subject:Dateien').toString(), 'Dateien für dich 🎉')
    for (const [i, { path, file, subject }] of expected.entries()) {
      if (file === undefined) continue
      mkdirSync(at(`mu-${i}`))
      run('mu', 'extract', '--save-attachments', `--target-dir=${at(`mu-${i}`)}`, path)
      const [saved = ''] = readdirSync(at(`mu-${i}`))
      exact(readFileSync(join(at(`mu-${i}`), saved)), file, subject)
    }
  })
})

/** NeoMutt wants a terminal: Python's pty gives it one, `push` types. */
const NEOMUTT = `
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0: os.execvp('neomutt', ['neomutt', '-n', '-F', sys.argv[1], '-f', sys.argv[2]])
end = time.time() + 60
while time.time() < end:
    if not select.select([fd], [], [], 1)[0]: continue
    try:
        if not os.read(fd, 65536): break
    except OSError: break
else:
    os.kill(pid, 9)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`

const SETTINGS = ['mbox_type=Maildir', 'quit=yes', 'delete=no', 'confirmappend=no', 'mail_check_stats=no', 'wait_key=no', 'sort=mailbox-order']

test('NeoMutt', async () => {
  await withReaders(['neomutt', 'python3'], (home, expected, run) => {
    for (const box of BOXES) {
      const out = home.at('user', `out-${box}`)
      mkdirSync(out)
      const ours = expected.filter((each) => each.box === box)
      const keys = ours.map((each, i) => {
        const save = (name: string): string => `<save-entry><kill-line>${join(out, `${i}.${name}`)}<enter>`
        const file = each.file === undefined ? '' : `<next-entry>${save('file')}`
        return `<limit>~i${each.id}<enter><first-entry><view-attachments>${save('text')}${file}<exit>`
      })
      const settings = [...SETTINGS, `folder=${home.path}`]
      writeFileSync(home.at('user', 'rc'), `${settings.map((each) => `set ${each}`).join('\n')}\npush "${keys.join('')}<limit>all<enter><quit>"\n`)
      run('python3', '-c', NEOMUTT, home.at('user', 'rc'), home.at(box))
      for (const [i, each] of ours.entries()) {
        const text = each.subject === CRLF ? utf8('one\ntwo\n') : each.text
        exact(readFileSync(join(out, `${i}.text`)), text, each.subject)
        if (each.file !== undefined) exact(readFileSync(join(out, `${i}.file`)), each.file, 'file')
      }
      // It moved what it showed to cur/: the messages are all still there, under names that we understand.
      const names = ['new', 'cur'].flatMap((folder) => readdirSync(home.at(box, folder)))
      assert.is(names.length, ours.length)
      assert.ok(names.every((name) => /^\d+\.[0-9a-f]{32}\.p2p(?::2,[A-Z]*)?$/.test(name)), names.join(' '))
      assert.ok(names.every((name) => statSync(home.at(box, name.includes(':') ? 'cur' : 'new', name)).size > 0))
    }
  })
})

test('a bounce reads like one in NeoMutt and mblaze', async () => {
  const id = '0e'.repeat(32)
  const bounce = composeBounce({
    self: { name: 'alice', key: BOB.key },
    to: { name: 'bob', key: BOB.key },
    date: 1_790_000_000_000,
    created: 1_789_000_000_000,
    id,
    about: '0f'.repeat(32),
    subject: 'größe der Fotos',
    code: 'too-big',
    reason: 'the other side does not take messages of this size',
    boundary: 'b0'.repeat(16),
  })
  await withReaders(['neomutt', 'python3', 'mshow'], (home, _, run) => {
    const path = home.at('inbox', 'new', `1790000000000000.${id.slice(0, 32)}.p2p`)
    writeFileSync(path, bounce)
    const shown = join(home.at('user'), 'shown')
    const keys = `<limit>~i${id}<enter><first-entry><pipe-message>cat >${shown}<enter><limit>all<enter><quit>`
    const settings = [...SETTINGS, 'pipe_decode=yes', 'charset=utf-8', `folder=${home.path}`]
    writeFileSync(home.at('user', 'rc'), `${settings.map((each) => `set ${each}`).join('\n')}\npush "${keys}"\n`)
    run('python3', '-c', NEOMUTT, home.at('user', 'rc'), home.at('inbox'))
    const wanted = [/^Your message to bob was not delivered\. It waited for 11 days\.$/m, /^Begins: {2}größe der Fotos$/m, /^Status: 5\.2\.3$/m]
    for (const part of [...wanted, /^Subject: not delivered to bob: größe der Fotos$/m]) {
      assert.match(readFileSync(shown, 'utf8'), part)
    }
    const file = [path, ...readdirSync(home.at('inbox', 'cur')).map((name) => home.at('inbox', 'cur', name))].find((name) => name.includes(id.slice(0, 32)) && existsSync(name))
    for (const part of wanted) assert.match(run('mshow', file ?? path).toString(), part)
  })
})

test.run()
