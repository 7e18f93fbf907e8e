// The full screen of p2p-chat as two people see it, in tmux: they install it, meet, talk, answer, put an emoji, send a
// file, lose the network, come back and read what was said before. Screens are compared with those that were kept.
// test timeout: 400 s

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { visibleWidth } from '@earendil-works/pi-tui'
import { eastAsianWidth } from 'get-east-asian-width'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Emoji, isAlone, Pattern, Segmenter } from '../.ci/terminal.ts'
import { qrPng } from '../lib/edge/qrcode.ts'
import { hanging, lookOf, painter } from '../lib/chat/look.ts'
import { onScreen, type Shown } from './bench/onscreen.ts'
import { argvOf, NEIGHBOURLESS } from './command.ts'
import { pause, type Peer, Stage, until } from './peer.ts'
import { checkPictures, holds } from './screenshot.ts'
import { Terminal } from './terminal.ts'
import { skipped } from './vectors.ts'

const TMUX = spawnSync('tmux', ['-V']).status === 0
if (!TMUX) skipped('tmux: not installed: nobody looks at the screen of p2p-chat')
const ZBAR = spawnSync('zbarimg', ['--version']).status === 0
if (!ZBAR) skipped('zbarimg: not installed: nobody reads the QR code of p2p-chat')

function open(stage: Stage, peer: Peer, args: string[], size: { columns: number; rows: number }, env: Record<string, string> = {}): Terminal {
  return new Terminal(stage, [...argvOf('p2p-chat'), ...args], { env: { P2P_HOME: peer.path, ...peer.env, ...env }, cwd: stage.dir, ...size })
}

/** The same with all that it has written, not only what stands there in the end. */
async function watched(stage: Stage, name: string, env: Record<string, string>, seen: string): Promise<Shown> {
  const screen = await onScreen([...argvOf('p2p-chat'), name], env, [seen])
  stage.onClose(() => void (existsSync(`/proc/${screen.pid}`) && process.kill(screen.pid, 'SIGKILL')))
  return screen
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The line of an invite from a page beside the list of contacts, where it takes several lines. */
function lineOf(screen: string): string {
  const lines = screen.split('\n').map((line) => [...line].slice(22).join(''))
  const at = lines.findIndex((line) => line.startsWith('p2p1'))
  const end = lines.findIndex((line, row) => row > at && !/^[0-9A-Za-z]+$/.test(line))
  return lines.slice(at, end < 0 ? undefined : end).join('')
}

/** What was typed for somebody and not sent. */
const draft = (self: Peer, other: Peer): string => readFileSync(self.at('chat', `${other.key}.draft`), 'utf8')

/** The process that a process started, or that one did, and so on. */
function youngest(pid: number): number {
  const [child = ''] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  return child === '' ? pid : youngest(Number(child))
}

test('lines are cut and wrapped by the columns that a terminal gives them, with and without colours', () => {
  const plain = lookOf(10, painter(false))
  assert.equal(plain.wrap('漢字漢字漢字', 10), ['漢字漢字漢', '字'])
  assert.equal([plain.columns('👩‍👩‍👧é'), plain.fit('漢字漢字漢字', 10), plain.fit('ab', 4, true)], [3, '漢字漢字\u001b[0m…\u001b[0m', 'ab  '])
  assert.equal([plain.paint('mine', 'x'), plain.paint('chosen', 'x')], ['x', '\u001b[7mx\u001b[0m'])
  const colours = lookOf(10, painter(true))
  assert.is(colours.columns(colours.paint('mine', 'x')), 1)
  assert.equal(hanging('  /to NAME  go to another one', 20), ['  /to NAME  go to', '          another', '          one'])
})

test('what the terminal library has instead of tables of Unicode says the same of every unit and emoji', () => {
  const [ours, whole] = [new Segmenter(undefined, { granularity: 'grapheme' }), new Intl.Segmenter(undefined, { granularity: 'grapheme' })]
  const [emoji, all] = [new Emoji(), new RegExp('^\\p{RGI_Emoji}$', 'v')]
  const segments = (by: Segmenter | Intl.Segmenter, text: string): string => [...by.segment(text)].map(({ segment, index }) => `${index} ${segment}`).join()
  let alone = 0
  for (let code = 0; code < 0x1fc00; code++) {
    if (code === 0x10000) code = 0x1f000
    const char = String.fromCodePoint(code)
    for (const text of [char, `${char}\ufe0f`]) assert.is(emoji.test(text), all.test(text), `emoji ${code.toString(16)}`)
    const among = `é${char}${char}漢${char}`
    if (isAlone(char) || code % 8 === 0) assert.is(segments(ours, among), segments(whole, among), `units ${code.toString(16)}`)
    if (!isAlone(char)) continue
    alone++
    assert.is(all.test(char) ? 2 : eastAsianWidth(code), visibleWidth(char), `columns ${code.toString(16)}`)
  }
  assert.ok(alone > 30_000)
  assert.ok(emoji.test('👩‍👩‍👧') && emoji.test('1️⃣') && !emoji.test('1\ufe0f') && !emoji.test('ab'))
  const words = [...new Segmenter(undefined, { granularity: 'word' }).segment('two words')].map(({ segment }) => segment)
  assert.equal(words, ['two', ' ', 'words'])
  assert.equal([new Pattern('^a/b$', 'u').test('a/b'), new Pattern('^a/b$', 'u').source], [true, '^a/b$'])
})

if (TMUX) {
  test('two people install it, meet, talk, lose each other, and it is all there after a restart', async () => {
    await Stage.with(async (stage) => {
      const prefix = join(stage.dir, 'prefix')
      const shell = (who: string, size: { columns: number; rows: number }): Terminal => {
        const env = { ...NEIGHBOURLESS, HOME: stage.dir, P2P_HOME: join(stage.dir, who), PATH: `${prefix}/bin:${process.env['PATH']}`, PS1: `${who}$ ` }
        return new Terminal(stage, ['sh', '-i'], { env, cwd: ROOT, ...size })
      }
      const at = (terminal: Terminal, name: string, seen: RegExp): Promise<void> => holds(terminal, name, stage.dir, seen)
      const order = (terminal: Terminal, text: string): void => {
        terminal.type(text)
        terminal.press('Enter')
      }
      // Installed, and as on a telephone: no machine code beside the programs, everything over TCP.
      const a = shell('alice', { columns: 90, rows: 24 })
      await a.see(/alice\$$/)
      order(a, `make install ANYNODE=yes PREFIX=${prefix} >make.log 2>&1 && echo in place`.replace('make.log', `${stage.dir}/make.log`))
      await a.see(/^in place/m)
      rmSync(join(prefix, 'lib/p2p/node_modules'), { recursive: true, force: true })
      order(a, 'p2p-id init --name alice --no-passphrase --addr 127.0.0.1')
      await a.see(/next: hand an invite/)
      order(a, 'p2p-chat')
      await a.see(/nobody is here yet/)
      let b = shell('bob', { columns: 60, rows: 16 })
      await b.see(/bob\$$/)
      order(b, 'p2p-id init --name bob --no-passphrase --addr 127.0.0.1')
      await b.see(/p2p-id invite NAME/)
      order(b, 'p2p-chat')
      await b.see(/nobody is here yet/)
      // First contact: a line from one to the other, which is all that is needed.
      order(a, '/invite bob')
      const page = await a.see(/^.{22}1\. Give bob this line[^]*?p2p\S+$/m)
      order(b, `/add alice ${lineOf(page)}`)
      await b.see(/^alice {2}/m)
      await a.see(/bob is a contact now/)
      a.press('q')
      await a.see(/If it is not bob: p2p-id remove bob/) // the notice is read, and not unread in some runs
      order(a, '/to bob')
      await a.see(/bob {2}online/)
      order(b, '/words')
      await b.see(/^ +1 {2}\w+ +\w+\n[^]*^ +12 {2}\w+ +\w+\nPgDn 3 more lines {2}any other key goes back/m)
      b.press('NPage')
      await b.see(/\n\n?Both the same there: \/verify\.[^]*\nany other key goes back/)
      b.press('q')
      order(b, '/to me')
      await b.see(/If it is not alice: p2p-id remove alice/)
      order(b, '/to alice')
      await b.see(/^alice {2}online/m)
      order(b, '/verify')
      await b.see(/^alice {2}online *$/m)
      // They talk.
      order(a, 'see you at 8? :wave:')
      await a.see(/you {2}see you at 8\? 👋 {2}✓/)
      // two lines, wide characters, right to left
      b.type('yes, and 漢字')
      b.press('C-j')
      b.type('שלום')
      b.press('Enter')
      await a.see(/bob {2}yes, and 漢字\n.* {6}שלום/)
      // an answer and an emoji to what was chosen with the arrows
      b.press('Up', 'Up')
      await b.see(/^>\d\d:\d\d alice {2}see you/m)
      b.press('r')
      await b.see(/^\/reply/m)
      order(b, 'at nine')
      await a.see(/bob {2}│ you: see you at 8\?.*\n.*at nine/)
      a.press('Up')
      await a.see(/>\d\d:\d\d bob {2}│ you/)
      a.press('e')
      order(a, ':+1:')
      await b.see(/👍 alice/)
      // a file whose name is completed
      writeFileSync(join(stage.dir, 'notes.txt'), 'hello')
      a.type(`/file ${stage.dir}/notes`)
      a.press('Tab')
      await a.see(new RegExp(`/file ${stage.dir}/notes.txt`.slice(0, 60)))
      a.press('Enter')
      await b.see(/\[notes\.txt\] {2}text\/plain, 5 bytes/)
      // a third person is counted at the left and hurts nobody
      const [alice, bob, carol] = [await stage.enter('alice'), await stage.enter('bob'), await stage.peer('carol')]
      await carol.learn(alice)
      order(a, `/add carol ${readFileSync(carol.at('token'), 'utf8').trim()}`)
      await a.see(/carol must add you, too/)
      order(a, '/to bob')
      await a.see(/notes\.txt/)
      await carol.send('alice', ['-m', 'psst \u001b[31m'])
      await a.see(/carol +1/)
      await a.see(/carol wrote/)
      await at(a, 'conversation', /carol +1/)
      await at(b, 'narrow', /notes\.txt/)
      for (const line of b.screen().split('\n')) assert.ok([...line].length <= 60, line)
      // help takes the place of the conversation until a key is pressed
      a.press('F1')
      await at(a, 'help', /\/to NAME {2,}go to another/)
      a.press('x')
      await a.see(/notes\.txt/)
      // The other side goes down in the middle of a word, with its listener: what is written waits, what was typed stays.
      b.type('half a thought')
      await until('a draft', () => existsSync(bob.at('chat')) && readdirSync(bob.at('chat')).some((name) => name.endsWith('.draft')))
      process.kill(youngest(b.pid()), 'SIGKILL')
      await a.see(/bob {2}last here at/)
      order(a, 'are you there?')
      await a.see(/bob is not there: it waits here until both are/)
      await at(a, 'away', /are you there\? {2}…/)
      // Back, in a window without colours, and everything is there.
      b = shell('bob', { columns: 60, rows: 16 })
      await b.see(/bob\$$/)
      order(b, 'NO_COLOR=1 p2p-chat')
      await b.see(/half a thought/)
      await b.see(/are you there\?/)
      await a.see(/are you there\? {2}✓/)
      await at(b, 'again', /half a thought/)
      b.press('C-u')
      b.press('C-c')
      await b.see(/bob\$$/)
      a.press('C-c')
      await a.see(/alice\$$/)
      assert.equal(readdirSync(bob.at('chat')).filter((name) => name.endsWith('.draft')), [])
      const [mail] = (await alice.good('p2p-inbox', ['list', '--from', 'carol', '--new'])).map(({ text }) => text)
      assert.is(mail, 'psst \u001b[31m', 'another conversation is not read')
      order(a, 'p2p-chat bob')
      await a.see(/are you there\? {2}✓/)
      order(a, '/search notes')
      await a.see(/^.{22} +\d+ {2}\d{4}-\d\d-\d\d \d\d:\d\d {2}you: notes\.txt/m)
      a.press('q')
      a.press('C-d')
      await a.see(/alice\$$/)
    })
  })

  test('pictures of screens are drawn from what was seen', checkPictures)

  test('history scrolls back to its beginning, is searched, and follows a window that changes its size', async () => {
    await Stage.with(async (stage) => {
      const [alice, bob] = await stage.pair()
      const listener = await bob.listen()
      const lines = Array.from({ length: 230 }, (_, i) => `line ${i + 1} of it`).join('\n')
      await alice.run('p2p-send', ['-l', 'bob'], { input: lines })
      await until('all are there', async () => (await bob.box('inbox')).length === 230)
      await listener.stop()
      const b = open(stage, bob, ['alice'], { columns: 80, rows: 24 })
      await b.see(/line 230 of it/)
      await b.see((screen) => {
        const there = /line 1 of it/.test(screen)
        if (!there) b.press('PPage')
        return there
      })
      b.press('Escape')
      await b.see(/line 230 of it/)
      b.type('/search line 77')
      b.press('Enter')
      await b.see(/154 {2}.*alice: line 77 of it/)
      b.press('Escape')
      await b.see(/line 230 of it/)
      b.resize(60, 16)
      await b.see((screen) => !screen.includes('│') && /line 230 of it/.test(screen))
      b.resize(120, 40)
      await b.see((screen) => screen.split('\n').length >= 39 && /line 200 of it/.test(screen) && /○ alice|● alice/.test(screen))
      // What is long and pasted shows as one mark, and is kept as it is, in another conversation too.
      const pasted = Array.from({ length: 20 }, (_, i) => `pasted ${i}`)
      b.paste(`${pasted.join('\n')}\n`)
      await b.see(/\[paste #1 \+21 lines\]/)
      b.type('and typed')
      b.press('C-n')
      await b.see(/nothing yet/)
      b.press('C-p')
      await b.see(/pasted 19\n.*and typed/)
      b.press('C-c')
      assert.is(await b.ended(), 0)
      assert.is((await bob.good('p2p-inbox', ['list', '--new'])).length, 0)
      assert.is(draft(bob, alice), [...pasted, 'and typed'].join('\n'))
    })
  })

  test('pictures go to a terminal that announces that it shows some, and a broken one does no harm', async () => {
    await Stage.with(async (stage) => {
      const [alice, bob] = await stage.pair()
      const listener = await bob.listen()
      const png = qrPng([[true, false], [false, true]])
      const huge = new Uint8Array(png)
      new DataView(huge.buffer).setUint32(16, 1_000_000_000)
      const files = { 'cut.png': png.subarray(0, 12), 'noise.png': new TextEncoder().encode('\u001b[2J\u0007'.repeat(99)), 'huge.png': huge, 'sound.png': png }
      for (const [name, bytes] of Object.entries(files)) {
        writeFileSync(join(stage.dir, name), bytes)
        await alice.send('bob', ['-a', join(stage.dir, name)])
      }
      await alice.send('bob', ['-m', 'the last of them'])
      await listener.stop()
      const shown = async (env: Record<string, string>, wanted = /(?:)/): Promise<string> => {
        const screen = await onScreen([...argvOf('p2p-chat'), 'alice'], { P2P_HOME: bob.path, ...bob.env, ...env }, ['the last of them', 'sound.png'])
        await pause(1000)
        await until(`${wanted} on the screen`, () => wanted.test(screen.output()))
        screen.type('\u000c')
        await screen.leave()
        return screen.output()
      }
      const plain = await shown({ TERM: 'xterm' })
      assert.not.match(plain, /\u001b_G|\u001b\]1337;File/)
      assert.match(plain, /\[sound\.png\]/)
      const sent = (text: string): string[] => [...text.matchAll(/\u001b_G[^;]*;([A-Za-z0-9+/=]+)\u001b\\/g)].map(([, data = '']) => data)
      const kitty = await shown({ TERM: 'xterm-kitty', KITTY_WINDOW_ID: '1' }, /\u001b_G[^;]*;[A-Za-z0-9+/=]+\u001b\\/)
      assert.equal([...new Set(sent(kitty))], [Buffer.from(png).toString('base64')], 'the sound one alone')
      assert.not.match(await shown({ TERM: 'xterm', TERM_PROGRAM: 'iTerm.app' }), /\u001b_G|\u001b\]1337;File/)
    })
  })

  test('the own token is a code that a camera reads, where the window has room for it', async () => {
    await Stage.with(async (stage) => {
      const [alice] = await stage.pair()
      const token = readFileSync(alice.at('token'), 'utf8').trim()
      const a = open(stage, alice, ['bob'], { columns: 80, rows: 24 })
      await a.see(/nothing yet/)
      a.type('/token')
      a.press('Enter')
      const [, columns = '', lines = ''] = /needs a window of (\d+)\s+columns and (\d+) lines/.exec((await a.see(/--qr-file FILE\.png/)).replace(/ *\n *│?/g, ' ')) ?? []
      a.resize(80, 40)
      const code = (screen: string): string[] => screen.split('\n').filter((line) => /[▀▄█]{2}/.test(line))
      const screen = await a.see((text) => code(text).length > 20)
      assert.not.match(screen, /--qr-file|○ bob/)
      assert.ok(Number(columns) <= 80 && code(screen).length <= Number(lines), `${columns} ${lines}`)
      a.press('C-c')
      assert.is(await a.ended(), 0)
      if (!ZBAR) return
      const edged = ['', '', ...code(screen), '', ''].map((line) => line.padEnd(80))
      const path = join(stage.dir, 'token.png')
      writeFileSync(path, qrPng(edged.flatMap((line) => ['▀█', '▄█'].map((dark) => [...line].map((char) => dark.includes(char))))))
      assert.is(spawnSync('zbarimg', ['--quiet', '--raw', path], { encoding: 'utf8' }).stdout.trim(), token)
    })
  })

  test('how far a large file is stands on both screens', async () => {
    await Stage.with(async (stage) => {
      const [alice, bob] = await stage.pair()
      const path = join(stage.dir, 'big.bin')
      writeFileSync(path, new Uint8Array(160 << 20))
      const shown = (peer: Peer, name: string): Promise<Shown> => watched(stage, name, { P2P_HOME: peer.path, ...peer.env }, 'nothing yet')
      const [a, b] = [await shown(alice, 'bob'), await shown(bob, 'alice')]
      const sees = (screen: Shown, what: RegExp): Promise<void> => until(String(what), () => what.test(screen.output()))
      await sees(a, /bob[^\n]{0,40}online/)
      a.type(`/file ${path}\r`)
      await Promise.all([sees(a, /to bob: [0-9.]+ MB of 168 MB, [1-9]\d? %/), sees(b, /from alice: [0-9.]+ MB of 168 MB, [1-9]\d? %/)])
      await Promise.all([sees(b, /\[big\.bin\]/), sees(a, /168 MB[^\n]{0,40}✓/)])
      await Promise.all([a.leave(), b.leave()])
    })
  })

  test('a bell, OSC 9 and the desktop say who wrote where nobody looks, and nothing in quiet hours', async () => {
    await Stage.with(async (stage) => {
      const [alice, bob] = await stage.pair()
      const carol = await stage.peer('carol')
      await alice.meet(carol)
      const listener = await alice.listen()
      const recorder = alice.file('notify-send', '#!/bin/sh\nprintf "%s\\n" "$*" >>"$0.args"\n')
      chmodSync(recorder, 0o755)
      const noticed = (): string => (existsSync(`${recorder}.args`) ? readFileSync(`${recorder}.args`, 'utf8') : '')
      const hour = (from: number): string => `${String(new Date(Date.now() + from * 3_600_000).getHours()).padStart(2, '0')}:00`
      const during = async (quiet: string | undefined): Promise<Shown & { rings: () => string[] }> => {
        const notify = quiet === undefined ? '[notify]\nby = "desktop"\n' : `[notify]\nby = "bell osc9 desktop"\nquiet = "${quiet}"\n[contact.bob]\nnotify = "bell"\n`
        writeFileSync(alice.at('config.toml'), notify, { mode: 0o600 })
        const env = { P2P_HOME: alice.path, ...alice.env, PATH: `${dirname(recorder)}:${process.env['PATH']}` }
        const screen = await watched(stage, 'bob', env, 'F1 help')
        await until('it has found the listener', () => /(?<!not listening {2})Enter send/.test(screen.output()))
        const rings = (): string[] => screen.output().replace(/\u001b\](?!9;)[^\u0007\u001b]*\u0007/g, '').match(/\u001b\]9;[^\u0007]*\u0007|\u0007/g) ?? []
        return { ...screen, rings }
      }
      const told = (screen: Shown, what: RegExp): Promise<void> => until(String(what), () => what.test(screen.output()))
      const loud = await during(`${hour(2)}-${hour(4)}`)
      await bob.send('alice', ['-m', 'looked at'])
      await told(loud, /looked at/)
      assert.equal(loud.rings(), [])
      await carol.send('alice', ['-m', 'psst'])
      await until('two rings', () => loud.rings().length > 1)
      assert.equal(loud.rings(), ['\u0007', '\u001b]9;p2p: carol wrote\u0007'])
      await until('a notice', () => noticed().endsWith('\n'))
      assert.match(noticed(), /^[^\n]* p2p carol wrote\n$/)
      loud.type('\u001bOP') // a page is in front of it
      await told(loud, /any other key goes back/)
      await bob.send('alice', ['-m', 'behind the page'])
      await told(loud, /bob wrote/)
      loud.type('q')
      await told(loud, /behind the page/)
      loud.type('\u001b[O') // the window is not looked at
      await bob.send('alice', ['-m', 'not looked at'])
      await until('two more', () => loud.rings().length > 3)
      assert.equal(loud.rings().slice(2), ['\u0007', '\u0007'], 'as it is wanted of bob')
      const unseen = async (): Promise<number> => (await alice.good('p2p-inbox', ['list', '--from', 'bob', '--new'])).length
      assert.is(await unseen(), 1)
      loud.type('\u001b[I')
      await until('it is seen', async () => (await unseen()) === 0)
      await loud.leave()
      // Where the desktop shows nothing, as over ssh, the bell rings instead.
      writeFileSync(recorder, '#!/bin/sh\nexit 1\n')
      const bare = await during(undefined)
      await carol.send('alice', ['-m', 'psst'])
      await told(bare, /no notice on the desktop: notify-send finds no desktop/)
      await until('a ring', () => bare.rings().length > 0)
      assert.equal(bare.rings(), ['\u0007'])
      await bare.leave()
      const quiet = await during(`${hour(-2)}-${hour(2)}`)
      for (const words of ['one', 'two']) await carol.send('alice', ['-m', words]) // the second after all that the first does
      await told(quiet, /carol wrote[^]*carol wrote/)
      assert.equal([quiet.rings(), noticed().split('\n').length], [[], 2])
      await quiet.leave()
      await listener.stop()
    })
  })

  test('put to sleep it gives the terminal back, and ended by a signal too', async () => {
    await Stage.with(async (stage) => {
      const [, bob] = await stage.pair()
      const shell = new Terminal(stage, ['sh', '-i'], { env: { P2P_HOME: bob.path, PS1: 'prompt>', ...bob.env }, cwd: stage.dir, columns: 80, rows: 24 })
      await shell.see(/prompt>/)
      shell.type(`${argvOf('p2p-chat').map((word) => `'${word}'`).join(' ')} alice`)
      shell.press('Enter')
      await shell.see(/nothing yet/)
      shell.press('C-z')
      await shell.see((screen) => !screen.includes('nothing yet') && screen.endsWith('prompt>'))
      shell.type('fg')
      shell.press('Enter')
      await shell.see(/nothing yet/)
      const pid = youngest(shell.pid())
      assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /p2p-chat/)
      process.kill(pid, 'SIGTERM')
      await shell.see((screen) => !screen.includes('nothing yet') && screen.endsWith('prompt>'))
      shell.type('echo still $((40 + 2))')
      shell.press('Enter')
      await shell.see(/still 42/)
    })
  })
}

test.run()
