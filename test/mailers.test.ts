// Mail programs as full clients, each by the configuration that p2p-id setup prints for it and with its own keys or
// commands: bob reads a photo, answers from the editor with a file and a hidden copy, and bounces; the answer stands in
// its thread at alice, in that program and in p2p-inbox, where a reaction shows on it. Between them are real listeners.
// test timeout: 420 s

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { argvOf } from './command.ts'
import { noise, type Peer, Stage, until } from './peer.ts'
import type { Rec } from './records.ts'
import { Terminal } from './terminal.ts'
import { skipped } from './vectors.ts'

/** The magic number of PNG, and bytes. */
const PHOTO = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), noise(30_000, 7)])
const NOTES = 'bring the map\nand water\n'

/** From the sources the commands that a snippet names are TypeScript. */
const SOURCES: Record<string, string> = argvOf('p2p-id').length > 2 ? { NODE_OPTIONS: `--import=${import.meta.resolve('tsx')}` } : {}

interface Scene {
  stage: Stage
  alice: Peer
  bob: Peer
  eve: Peer
  /** From bob, and alice's answer with the photo. */
  question: string
  offer: string
  /** The home directory of whoever reads, with a file to attach, an editor, and what the photo was opened to. */
  user: string
  notes: string
  opened: string
  env: Record<string, string>
}

/** Three people with listeners; bob has asked, alice has answered with a photo. */
async function play(programs: string[], work: (scene: Scene) => Promise<void>, home = "it's 100% bob's"): Promise<void> {
  for (const program of programs) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return skipped(`${program}: not installed`)
  }
  await Stage.with(async (stage) => {
    const [alice, bob, eve] = [await stage.peer('alice'), await stage.peer('bob', { home: join(stage.dir, home) }), await stage.peer('eve')]
    await bob.meet(alice, eve)
    const listeners = [await alice.listen(), await bob.listen(), await eve.listen()]
    const question = await bob.send('alice', ['-m', 'are you there?'])
    const offer = await alice.send('bob', ['-r', question, '-m', 'see you at 8?', '-a', alice.file('photo.png', PHOTO)])
    const user = join(stage.dir, 'user')
    mkdirSync(user)
    const [notes, opened, editor] = [join(user, 'notes.txt'), join(user, 'opened'), join(user, 'edit')]
    writeFileSync(notes, NOTES)
    writeFileSync(editor, EDITOR, { mode: 0o755 })
    writeFileSync(join(user, '.mailcap'), `image/png; cp %s '${opened}.part' && mv '${opened}.part' '${opened}'\n`)
    const env = { HOME: user, EDITOR: editor, TMPDIR: stage.dir, ...SOURCES }
    await work({ stage, alice, bob, eve, question, offer, user, notes, opened, env })
    await Promise.all(listeners.map((listener) => listener.stop()))
    assert.equal([...alice.strays(), ...bob.strays(), ...eve.strays()], [])
  })
}

/** What a person does in an editor: words at the end of the draft, above a signature if there were one. */
const EDITOR = `#!/bin/sh
printf 'yes, at 8\\n' >>"$1"
`

/** What `p2p-id setup` prints for a person. */
async function setup(peer: Peer, program: string): Promise<string> {
  const ran = await peer.run('p2p-id', ['setup', program])
  assert.is(ran.code, 0, ran.err)
  return ran.out
}

async function arrived(peer: Peer, count: number): Promise<Rec[]> {
  let list: Rec[] = []
  await until(`${count} messages at ${peer.name}`, async () => (list = await peer.good('p2p-inbox', ['list'])).length >= count)
  assert.is(list.length, count)
  return list
}

const photo = async ({ opened }: Scene): Promise<void> => {
  await until('the photo is opened', () => existsSync(opened))
  assert.ok(readFileSync(opened).equals(PHOTO), 'what the viewer got is the photo')
}

/** The answer is where it belongs, with its file, and does not tell of the hidden copy; it and the bounce are at eve. */
async function answered({ alice, eve, offer, stage }: Scene): Promise<string> {
  const [, answer] = await arrived(alice, 2)
  assert.equal([answer?.['reply'], answer?.['subject']], [offer, 'Re: see you at 8?'])
  assert.match(String(answer?.['text']), /^yes, at 8$/m)
  assert.match(String(answer?.['text']), /^> see you at 8\?/m)
  const id = String(answer?.['id'])
  const mail = readFileSync(String(answer?.['path']), 'utf8')
  assert.not.match(mail, eve.key)
  const [hidden, bounced] = await arrived(eve, 2)
  assert.equal([hidden?.['text'], bounced?.['text']], [answer?.['text'], 'see you at 8?'])
  for (const [peer, message, name, bytes] of [[alice, id, 'notes.txt', Buffer.from(NOTES)], [eve, String(bounced?.['id']), 'photo.png', PHOTO]] as const) {
    const folder = join(stage.dir, `saved-${peer.name}`)
    mkdirSync(folder)
    await peer.good('p2p-inbox', ['save', message, '-o', folder])
    assert.ok(readFileSync(join(folder, name)).equals(bytes), name)
  }
  return id
}

for (const program of ['neomutt', 'mutt']) {
  test(`${program}: the photo opens; answer, file, hidden copy, bounce`, async () => {
    await play([program, 'tmux'], async (scene) => {
      const { stage, alice, bob, user, notes, env } = scene
      const open = async (peer: Peer): Promise<Terminal> => {
        const rc = join(user, `${peer.name}.rc`)
        writeFileSync(rc, await setup(peer, program))
        return new Terminal(stage, [program, '-n', '-F', rc, '-e', 'set ascii_chars=yes'], { env, cwd: user })
      }
      const terminal = await open(bob)
      const index = /Mutt: =inbox \[/
      await terminal.see((screen) => index.test(screen) && /^ .* alice .*see you at 8\?$/m.test(screen))
      terminal.press('Enter')
      await terminal.see(/^see you at 8\?$/m)
      terminal.press('v')
      await terminal.see(/photo\.png .*image\/png/)
      terminal.press('Down', 'Enter')
      await photo(scene)
      terminal.press('q')
      await terminal.see(/^see you at 8\?$/m)
      terminal.press('q')
      await terminal.see(index)
      terminal.press('r')
      await terminal.see(/^To: alice </m)
      terminal.press('Enter')
      await terminal.see(/^Subject: Re: see you at 8\?$/m)
      terminal.press('Enter')
      await terminal.see(/^Include message in reply\?/m)
      terminal.press('y')
      await terminal.see(/y:Send/)
      terminal.press('b')
      await terminal.see(/^Bcc: ?$/m)
      terminal.type('eve\n') // an alias of the snippet
      await terminal.see(/Bcc: eve </)
      terminal.press('a')
      await terminal.see(/^Attach file/m)
      terminal.type(`${notes}\n`)
      await terminal.see(/2 \S*notes\.txt/)
      terminal.press('y')
      await terminal.see((screen) => index.test(screen) && /^Mail sent\.?$/m.test(screen))
      terminal.press('b')
      await terminal.see(/^Bounce message to: ?$/m)
      terminal.type('eve\n')
      await terminal.see(/^Bounce message to eve .*\?/m)
      terminal.press('y')
      await terminal.see(/^Message bounced\.?$/m)
      terminal.press('q')
      assert.is(await terminal.ended(), 0)
      const answer = await answered(scene)
      const other = await open(alice)
      await other.see(/^ +1 .*bob .*are you there\?\n +2 .*bob .*`->Re: see you at 8\?$/m)
      other.press('q')
      assert.is(await other.ended(), 0)
      // a thumb from each side shows on the photo and on the answer
      for (const [from, to, id] of [[bob, alice, scene.offer], [alice, bob, answer]] as const) {
        await from.good('p2p-send', ['--reply', id, '--react', '👍', '-w', '60s'])
        const [message] = await to.good('p2p-inbox', ['show', id])
        assert.equal((message?.['reactions'] as Rec[] | undefined)?.map((each) => [each['from'], each['reaction']]), [[from.name, '👍']])
        assert.match((await to.run('p2p-inbox', ['list', '--sent', '--text'])).out, new RegExp(` {2}👍 ${from.name}$`, 'm'))
      }
    })
  })
}

test('aerc: the photo opens; answer, file, hidden copy, bounce', async () => {
  await play(['aerc', 'tmux'], async (scene) => {
    const { stage, alice, bob, user, notes, opened, env } = scene
    const open = async (peer: Peer): Promise<Terminal> => {
      const folder = join(user, peer.name, 'aerc')
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, 'accounts.conf'), await setup(peer, 'aerc'), { mode: 0o600 })
      writeFileSync(join(folder, 'aerc.conf'), `[ui]\nthreading-enabled=true\n[viewer]\npager=cat\n[filters]\ntext/plain=cat\n[openers]\nimage/png=sh -c 'cp "$0" "${opened}.part" && mv "${opened}.part" "${opened}"'\n`)
      return new Terminal(stage, ['aerc'], { env: { ...env, XDG_CONFIG_HOME: join(user, peer.name), P2P_HOME: peer.path }, cwd: user })
    }
    const terminal = await open(bob)
    const command = (text: string): void => terminal.type(`:${text}\n`)
    await terminal.see(/alice.*see you at 8\?/)
    command('view')
    await terminal.see(/^.*photo\.png.*$/m)
    command('next-part')
    command('open')
    await photo(scene)
    command('close')
    await terminal.see(/alice.*see you at 8\?/)
    command('reply -q')
    await terminal.see(/Send this email\?/)
    command(`attach ${notes}`)
    await terminal.see(/^(?=.*notes\.txt)(?!:)/m)
    command('bcc eve@p2p.invalid')
    await terminal.see(/^Bcc: .*eve@p2p\.invalid/m)
    command('send')
    await terminal.see(/Message sent/)
    command(`pipe -b -m ${argvOf('p2p-sendmail').join(' ')} eve`)
    await arrived(scene.eve, 2)
    command('quit')
    assert.is(await terminal.ended(), 0)
    await answered(scene)
    const other = await open(alice)
    await other.see(/bob.*are you there\?\n.*bob.*[└>].*Re: see you at 8\?/)
    other.type(':quit\n')
    assert.is(await other.ended(), 0)
  })
})

/** Runs a script in the shell of a person whose reader is set up; what it says. */
function shell(scene: Scene, script: string, more: Record<string, string> = {}): string {
  const env = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', ...scene.env, ...more }
  const ran = spawnSync('/bin/sh', ['-euc', script], { env, cwd: scene.user, encoding: 'utf8', input: '' })
  assert.is(ran.status, 0, `${script}\n${ran.stdout}${ran.stderr}`)
  return ran.stdout
}

test('mblaze: the photo opens; answer, file, hidden copy, bounce', async () => {
  await play(['mlist', 'mrep', 'mbnc', 'file'], async (scene) => {
    const { alice, bob, user, notes, opened, env } = scene
    const rc = join(user, 'rc')
    writeFileSync(rc, await setup(bob, 'mblaze'))
    const mail = (script: string): string => shell(scene, `. ${rc}; ${script}`)
    assert.match(mail('p2p_scan -N'), / alice +> see you at 8\?$/m)
    assert.match(mail('p2p_mail mshow 1'), /^see you at 8\?$/m)
    mail(`p2p_mail mshow -O 1 photo.png >'${opened}'`)
    await photo(scene)
    // it edits first, then asks what to do
    mail(`printf 's\\n' | p2p_mail mrep -bcc eve@p2p.invalid -attach '${notes}' -- 1`)
    mail('p2p_mail mbnc -resent-to eve@p2p.invalid -send -- 1')
    await answered(scene)
    writeFileSync(rc, await setup(alice, 'mblaze'))
    const threads = shell({ ...scene, env: { ...env, HOME: alice.path } }, `. ${rc}; p2p_scan`)
    assert.match(threads, / bob +. are you there\?\n.* TO:bob .*   see you at 8\?\n.* bob +. {5}Re: see you at 8\?$/m)
  }, 'bob') // mrep takes no blank in a path
})

/** What a composer that comes with no command of its own does: a file and a hidden recipient. */
const ATTACH = `
import email, email.policy, sys
mail = email.message_from_file(sys.stdin, policy=email.policy.default)
mail["Bcc"] = "eve@p2p.invalid"
mail.set_content(mail.get_content())
mail.add_attachment(open(sys.argv[1]).read(), filename="notes.txt")
sys.stdout.write(mail.as_string())`

test('notmuch: the photo opens; answer, file, hidden copy, bounce', async () => {
  await play(['notmuch', 'python3'], async (scene) => {
    const { alice, bob, user, notes, opened, offer } = scene
    const set = async (peer: Peer): Promise<Record<string, string>> => {
      const config = join(user, `notmuch-${peer.name}`)
      writeFileSync(config, await setup(peer, 'notmuch'))
      mkdirSync(`${peer.path}-notmuch`)
      return { NOTMUCH_CONFIG: config }
    }
    const env = await set(bob)
    const mail = (script: string): string => shell(scene, script, env)
    mail('notmuch new --quiet')
    assert.match(mail('notmuch search tag:unread'), /alice.* see you at 8\?/)
    mail(`notmuch show --format=raw --part=3 id:${offer}@p2p.invalid >'${opened}'`)
    await photo(scene)
    // the lines of the configuration that say how to answer
    const text = readFileSync(env['NOTMUCH_CONFIG'] ?? '', 'utf8')
    const [, reply = '', send = ''] = /^# {2,3}(notmuch reply .*)\n# {2,3}(.*p2p-sendmail.*)$/m.exec(text) ?? []
    mail(`${reply.replace('id:...', `id:${offer}@p2p.invalid`)}
      "$EDITOR" answer
      python3 -c '${ATTACH}' '${notes}' <answer >mail; mv mail answer
      ${send}
      notmuch show --format=raw id:${offer}@p2p.invalid | ${send.replace(/-t < answer$/, '-oi eve')}`)
    await answered(scene)
    const hers = await set(alice)
    shell(scene, 'notmuch new --quiet', hers)
    assert.match(shell(scene, "notmuch search '*'", hers), /^\S+ .* \[3\/3\] .*; .*\(.*\)\n$/, 'one thread')
  })
})

test('git send-email: a patch arrives and applies', async () => {
  await play(['git'], async (scene) => {
    const { alice, bob } = scene
    if (spawnSync('git', ['send-email', '--dump-aliases'], { stdio: 'ignore' }).status !== 0) return skipped('git send-email: not installed')
    const git = { GIT_CONFIG_NOSYSTEM: '1', GIT_AUTHOR_NAME: 'Bob', GIT_AUTHOR_EMAIL: 'bob@example.org', GIT_COMMITTER_NAME: 'Bob', GIT_COMMITTER_EMAIL: 'bob@example.org' }
    shell(scene, `git init -q work; cd work; echo one >file; git add file; git commit -qm one; cp -r . ../hers; echo two >>file; git commit -qam 'file: a second line'
      git config sendemail.sendmailCmd '${argvOf('p2p-sendmail').join(' ')}'
      git send-email --quiet --confirm=never --suppress-cc=all --to=alice@p2p.invalid -1 </dev/null`, { ...git, P2P_HOME: bob.path })
    const [, patch] = await arrived(alice, 2)
    assert.is(patch?.['subject'], '[PATCH] file: a second line')
    const text = (await alice.run('p2p-inbox', ['cat', '@'])).out
    writeFileSync(join(scene.user, 'patch'), text)
    assert.is(shell(scene, 'cd hers; git apply ../patch; cat file'), 'one\ntwo\n')
  })
})

test("cron's mail reaches the contact of MAILTO", async () => {
  await play([], async ({ alice, bob }) => {
    const mail = `From: "(Cron Daemon)" <root>\nTo: alice\nSubject: Cron <root@host> backup\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\nPrecedence: bulk\nX-Cron-Env: <MAILTO=alice>\nMessage-Id: <E1@host>\nDate: Sun, 29 Nov 2026 03:17:00 +0100\n\nkann nicht lesen: Größe\n`
    // as Debian's cron calls it, and as cronie does
    for (const [at, args] of [['-FCronDaemon', '-i', '-odi', '-oem', '-oi', '-t'], ['-FCronDaemon', '-i', '-odi', '-oem', '-oi', '-t', '-f', 'root']].entries()) {
      const ran = await bob.run('p2p-sendmail', args, { input: mail })
      assert.equal([ran.code, ran.out, ran.err], [0, '', ''])
      const got = (await arrived(alice, at + 2)).at(-1)
      assert.equal([got?.['text'], got?.['subject'], got?.['auto']], ['kann nicht lesen: Größe\n', 'Cron <root@host> backup', true])
    }
  })
})

test.run()
