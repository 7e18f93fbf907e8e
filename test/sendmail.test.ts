// p2p-sendmail: the options that other programs give it, the shapes of mail that they make, and what of it arrives.
// test timeout: 300 s

import { readdirSync, readFileSync } from 'node:fs'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Malformed } from '../lib/base/fail.ts'
import { parsePost } from '../lib/wire/mailpost.ts'
import { parseTree } from '../lib/wire/mailtree.ts'
import { type Peer, Stage } from './peer.ts'
import { records } from './records.ts'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))
const show = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString()
const ID = 'ab'.repeat(32)
const OLD = 'cd'.repeat(32)

async function post(text: string): Promise<Record<string, unknown>> {
  const parsed = await parsePost(bytes(text))
  return {
    ...parsed,
    text: show(parsed.text),
    files: parsed.files.map(({ name, type, content }) => [name, type, show(content)]),
  }
}

/** Line ends of either kind. */
async function bothWays(text: string): Promise<Record<string, unknown>> {
  const one = await post(text)
  const other = await post(text.replaceAll('\n', '\r\n'))
  assert.equal(withoutFiles(other), withoutFiles(one))
  const names = ({ files }: Record<string, unknown>): unknown[] => (files as string[][]).map(([name, type]) => [name, type])
  assert.equal(names(other), names(one))
  return one
}

const withoutFiles = (made: Record<string, unknown>): Record<string, unknown> => ({ ...made, files: undefined })

test('text is kept to the byte, whatever encoding it came in', async () => {
  for (const [mail, text] of [
    ['To: bob\n\nyes\n.\nFrom here\n\nend', 'yes\n.\nFrom here\n\nend'],
    ['From bob Mon Nov 29\nTo: bob\n\nx\n', 'x\n'],
    ['To: bob\n\n', ''],
    ['To: bob\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nna=EFve=\n!\n', 'naïve!\n'],
    ['To: bob\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nw6TDtg==\n', 'äö'],
    ['To: bob\nContent-Type: text/plain; charset=no-such-thing\n\nä', 'ä'],
    ['To: bob\nContent-Type: text/plain; format=flowed\n\na \nb\n-- \nc\n', 'a b\n-- \nc\n'],
    ['To: bob\nContent-Type: multipart/mixed; boundary=b\n\nno parts', 'no parts'],
    ['To: bob\nContent-Type: text/html\n\n<p>Hi <b>you</b></p>', 'Hi you\n'],
  ] as const) {
    assert.is((await bothWays(mail))['text'], text, mail)
  }
})

test('other parts are files: names in every notation, alternatives, calendars, mails; what is signed stays whole', async () => {
  const inner = 'Subject: inner\n\nhello\n'
  const made = await bothWays(
    [
      'To: bob',
      'Content-Type: multipart/mixed; boundary="x y"',
      '',
      'preamble',
      '--x y',
      'Content-Type: multipart/alternative; boundary=alt',
      '',
      '--alt',
      '',
      'plain',
      '--alt',
      'Content-Type: text/html',
      '',
      '<b>rich</b>',
      '--alt--',
      '--x y',
      'Content-Type: application/pdf; name="=?utf-8?B?w6QucGRm?="',
      'Content-Transfer-Encoding: base64',
      '',
      'QUJD',
      '--x y  ',
      "Content-Disposition: attachment; filename*=utf-8''../e%20vil%00.txt",
      '',
      'a text that is a file',
      '--x y',
      'Content-Type: message/rfc822',
      '',
      inner,
      '--x y--',
      'epilogue',
    ].join('\n'),
  )
  assert.is(made['text'], 'plain')
  assert.equal(made['files'], [
    ['part-1.html', 'text/html', '<b>rich</b>'],
    ['ä.pdf', 'application/pdf', 'ABC'],
    ['e vil.txt', 'text/plain', 'a text that is a file'],
    ['message.eml', 'message/rfc822', inner],
  ])
  const body = '--z\nContent-Type: text/plain\n\nsigned\n\n--z\nContent-Type: application/pgp-signature\n\nSIG\n--z--\n'
  const signed = await post(`To: bob\nBcc: eve\nContent-Type: multipart/signed; micalg=x; boundary=z\n\n${body}`)
  assert.is(signed['text'], 'signed\n')
  assert.equal(signed['files'], [
    ['signed.eml', 'message/rfc822', `content-type: multipart/signed; micalg=x; boundary=z\n\n${body}`],
  ])
})

test('recipients, what it answers, whether a program made it', async () => {
  const head = 'To: Bob <bob@p2p.invalid>, root\nCC: team: eve@p2p.invalid, "a, b" <c@p2p.invalid>;\nbcc: hidden@p2p.invalid\n'
  assert.equal((await bothWays(`${head}\nx`))['recipients'], ['bob@p2p.invalid', 'root', 'eve@p2p.invalid', 'c@p2p.invalid', 'hidden@p2p.invalid'])
  assert.equal((await post(`${head}Resent-To: dan@p2p.invalid\n\nx`))['recipients'], ['dan@p2p.invalid'])
  const references = `References: <${OLD}@p2p.invalid>\n <x@example.org> <chat.20261129.K@p2p.invalid>\n <${ID}@p2p.invalid>\n`
  assert.equal((await bothWays(`${references}\nx`))['answers'], [ID, OLD])
  assert.equal((await post(`${references}In-Reply-To: <${OLD}@p2p.invalid>\n\nx`))['answers'], [OLD, ID, OLD])
  const folded = `In-Reply-To: =?utf-8?q?=3C${ID.slice(0, 40)}?=\n =?utf-8?q?${ID.slice(40)}=40p2p=2Einvalid=3E?=\n`
  assert.equal((await bothWays(`${folded}\nx`))['answers'], [ID], 'as Python writes it')
  assert.equal((await post('Subject: =?utf-8?Q?gr=C3=BC=C3=9F?=\n =?utf-8?Q?e?=\n\n'))['subject'], 'grüße')
  for (const [value, auto] of [['no', false], ['auto-generated', true], ['auto-replied; x=y', true]] as const) {
    assert.is((await post(`Auto-Submitted: ${value}\n\nx`))['auto'], auto)
  }
})

test('a mail of more parts than a message can have is refused before any of them is read', async () => {
  const mail = (parts: number): string => `To: x\nContent-Type: multipart/mixed; boundary=b\n\n${'--b\n\nx\n'.repeat(parts)}--b--\n`
  assert.is(((await post(mail(48)))['files'] as unknown[]).length, 47)
  await parsePost(bytes(mail(49))).then(() => assert.unreachable(), (error: Error) => assert.is(error.message, '49 parts, at most 48 are allowed'))
})

test('any bytes are a mail, or Malformed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          fc.constantFrom('--b', '--b--', '', 'Content-Type: multipart/mixed; boundary=b', 'Content-Type: text/html', 'To: x'),
          fc.constantFrom('Content-Transfer-Encoding: base64', 'Content-Type: message/rfc822', '\tfolded', ':', '=?utf-8?B?/?='),
          fc.string(),
        ),
        { maxLength: 30 },
      ),
      fc.constantFrom('\n', '\r\n', '\r'),
      async (lines, end) => {
        const whole = bytes(lines.join(end))
        parseTree(whole)
        await parsePost(whole).catch((error: unknown) => assert.instance(error, Malformed))
      },
    ),
    { numRuns: 500 },
  )
})

const mailOf = (peer: Peer, name: string): string => readFileSync(peer.at('inbox', 'new', name), 'utf8')

test('a mail goes to whom it should, privately, threaded, and nothing else of it goes along', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const eve = await stage.peer('eve')
    await alice.meet(eve)
    const listeners = [await bob.listen(), await eve.listen()]
    await bob.queue('alice', ['-m', 'a question'])
    await alice.good('p2p-queue', ['flush', 'bob'])
    const [question = ''] = await alice.ids()
    const mail = [
      'From: "A. Lice" <alice@example.org>',
      'To: bob@p2p.invalid',
      'Bcc: eve@p2p.invalid',
      'Subject: Re: a question',
      'Message-ID: <secret-id@example.org>',
      'X-Mailer: secret mailer',
      `In-Reply-To: <${question}@p2p.invalid>`,
      '',
      'an answer',
      '',
    ].join('\n')
    const sent = await alice.run('p2p-sendmail', ['-t', '-oi', '-oem', '-f', 'alice@example.org'], { input: mail })
    assert.equal([sent.code, sent.out, sent.err], [0, '', ''])
    await alice.good('p2p-queue', ['flush'])
    for (const peer of [bob, eve]) {
      const names = readdirSync(peer.at('inbox', 'new'))
      assert.is(names.length, 1)
      const text = mailOf(peer, names[0] ?? '')
      assert.match(text, `In-Reply-To: <${question}@p2p.invalid>`)
      assert.match(text, 'Subject: Re: a question')
      assert.match(text, /\n\nan answer\n$/)
      assert.not.match(text, /secret|example\.org|A\. Lice|Bcc/)
      assert.not.match(text, peer === bob ? eve.key : bob.key)
    }
    // argv counts alone: mutt hands over Bcc and bounces so
    await alice.good('p2p-send', ['-t', 'eve'], { input: mail })
    await alice.good('p2p-queue', ['flush'])
    assert.equal([(await bob.ids()).length, (await eve.ids()).length], [1, 2])
    // a file of which the mail program knows no type has that of its bytes
    const png = Buffer.from('89504e470d0a1a0a', 'hex').toString('base64')
    const photo = `To: bob\nContent-Type: application/octet-stream; name=p.bin\nContent-Disposition: attachment\nContent-Transfer-Encoding: base64\n\n${png}\n`
    await alice.good('p2p-sendmail', ['-t'], { input: photo })
    await alice.good('p2p-queue', ['flush'])
    assert.equal((await bob.good('p2p-inbox', ['list'])).at(-1)?.['parts'], [{ type: 'image/png', name: 'p.bin', size: 8 }])
    for (const listener of listeners) await listener.stop()
  })
})

test('the options of sendmail as they are given by cron, git, mutt and others; anything else is 64', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const mail = 'To: bob\n\nx\n'
    const good = [
      ['-i', '-FCronDaemon', '-B8BITMIME', '-oem', 'bob'],
      ['-i', '-F', 'Cron Daemon', '-B', '8BITMIME', '-o', 'em', 'bob'],
      ['-oem', '-oi', '-f', 'me@x', '--', 'bob@p2p.invalid'],
      ['-ti'],
      ['-it', '-f', 'x'],
      ['-bm', '-N', 'never', '-R', 'hdrs', '-v', '-U', '-m', '-em', '-rx', 'Bob <bob@localhost>'],
      ['bob, bob@p2p.invalid'],
    ]
    for (const [at, args] of good.entries()) {
      const ran = await alice.run('p2p-sendmail', args, { input: mail })
      assert.equal([ran.code, ran.out, ran.err], [0, '', ''], args.join(' '))
      assert.is(records((await alice.run('p2p-queue', ['list'])).out).length, at + 1, 'once for each recipient')
    }
    const bad: [string[], number, RegExp][] = [
      [['-bs'], 64, /unknown option '-bs'/],
      [['-q5m'], 64, /unknown option|takes no value/],
      [['-X', 'log', 'bob'], 64, /unknown option '-X'/],
      [['-O', 'x=y', 'bob'], 64, /unknown option '-O'/],
      [[], 64, /missing ADDRESS/],
      [['bob@example.org'], 67, /'bob@example.org' is no address of p2p/],
      [['bob', 'nobody'], 67, /no contact named 'nobody'/],
    ]
    const before = (await alice.run('p2p-queue', ['list'])).out
    for (const [args, code, said] of bad) {
      const ran = await alice.run('p2p-sendmail', args, { input: mail })
      assert.is(ran.code, code, `${args.join(' ')}: ${ran.err}`)
      assert.match(ran.err, said)
    }
    for (const [input, code] of [['Subject: x\n\nno recipient', 64], ['To: nobody\n\nx', 67], ['To: bob, x@example.org\n\nx', 67]] as const) {
      assert.is((await alice.run('p2p-sendmail', ['-t'], { input })).code, code, input)
    }
    assert.is((await alice.run('p2p-queue', ['list'])).out, before, 'nothing of that is queued')
  })
})

test.run()
