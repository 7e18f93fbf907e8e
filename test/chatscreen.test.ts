// The full screen of p2p-chat as two people see it, in tmux: they talk, answer, put an emoji, send a file, lose the
// network, come back and read what was said before. Screens are compared where they are always the same.
// test timeout: 300 s

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hanging, lookOf, painter } from '../lib/chat/look.ts'
import { argvOf } from './command.ts'
import { pause, type Peer, Stage, until } from './peer.ts'
import { Terminal } from './terminal.ts'
import { skipped } from './vectors.ts'

const TMUX = spawnSync('tmux', ['-V']).status === 0
if (!TMUX) skipped('tmux: not installed: nobody looks at the screen of p2p-chat')

function open(stage: Stage, peer: Peer, args: string[], size: { columns: number; rows: number }, env: Record<string, string> = {}): Terminal {
  return new Terminal(stage, [...argvOf('p2p-chat'), ...args], { env: { P2P_HOME: peer.path, ...peer.env, ...env }, cwd: stage.dir, ...size })
}

/** The screen with times that are always the same. */
const steady = (screen: string): string => screen.replace(/\b\d\d:\d\d\b/g, '12:34')

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

if (TMUX) {
  test('two people talk on the full screen, and it is all there after a restart', async () => {
    await Stage.with(async (stage) => {
      const [alice, bob] = await stage.pair()
      const carol = await stage.peer('carol')
      await alice.meet(carol)
      const a = open(stage, alice, [], { columns: 90, rows: 20 })
      await a.see(/nothing yet: type below and press Enter/)
      a.press('C-n')
      a.press('C-p')
      await a.see(/^.*bob {2}never met {2}not verified: \/words$/m)
      a.type('see you at 8? :wave:')
      a.press('Enter')
      await a.see(/you {2}see you at 8\? 👋 {2}…/)
      let b = open(stage, bob, ['alice'], { columns: 60, rows: 16 })
      await b.see(/alice {2}see you at 8\? 👋/)
      await a.see(/you {2}see you at 8\? 👋 {2}✓/)
      await a.see(/● bob/)
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
      b.type('at nine')
      b.press('Enter')
      await a.see(/bob {2}│ you: see you at 8\?.*\n.*at nine/)
      a.press('Up')
      await a.see(/>\d\d:\d\d bob {2}│ you/)
      a.press('e')
      a.type(':+1:')
      a.press('Enter')
      await b.see(/👍 alice/)
      // a file whose name is completed
      const path = alice.file('notes.txt', 'hello')
      a.type(`/file ${path.slice(0, -4)}`)
      a.press('Tab')
      await a.see(new RegExp(`/file ${path}`.slice(0, 60)))
      a.press('Enter')
      await b.see(/\[notes\.txt\] {2}text\/plain, 5 bytes/)
      const shown = steady(await b.see(/^alice {2}online {2}not verified: \/words\n/))
      assert.is(shown.split('\n').length, 16, shown)
      for (const line of shown.split('\n')) assert.ok([...line].length <= 60, line)
      // a third person is counted at the left and hurts nobody
      await carol.send('alice', ['-m', 'psst \u001b[31m'])
      await a.see(/carol +1/)
      await a.see(/carol wrote/)
      // help takes the place of the conversation until a key is pressed
      a.press('F1')
      await a.see(/\/to NAME {2,}go to another/)
      a.press('x')
      await a.see(/notes\.txt/)
      // a draft stays, killed as one may be
      b.type('half a thought')
      await until('a draft', () => existsSync(bob.at('chat')) && readdirSync(bob.at('chat')).some((name) => name.endsWith('.draft')))
      await b.kill()
      a.type('are you there?')
      a.press('Enter')
      await a.see(/are you there\? {2}…/)
      await a.see(/bob is not there: it waits here until both are/)
      b = open(stage, bob, [], { columns: 60, rows: 16 }, { NO_COLOR: '1' })
      await b.see(/half a thought/)
      await b.see(/are you there\?/)
      await a.see(/are you there\? {2}✓/)
      b.press('C-u')
      b.press('C-c')
      assert.is(await b.ended(), 0)
      a.press('C-c')
      assert.is(await a.ended(), 0)
      assert.equal(readdirSync(bob.at('chat')).filter((name) => name.endsWith('.draft')), [])
      const [mail] = (await alice.good('p2p-inbox', ['list', '--from', 'carol', '--new'])).map(({ text }) => text)
      assert.is(mail, 'psst \u001b[31m', 'another conversation is not read')
    })
  })

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
      for (let page = 0; page < 500 && !/line 1 of it/.test(b.screen()); page++) {
        b.press('PPage')
        await pause(50)
      }
      await b.see(/line 1 of it/)
      b.type('/search line 77')
      b.press('Enter')
      await b.see(/154 {2}.*alice: line 77 of it/)
      b.press('Escape')
      await b.see(/line 230 of it/)
      b.resize(60, 16)
      await b.see((screen) => !screen.includes('│') && /line 230 of it/.test(screen))
      b.resize(120, 40)
      await b.see((screen) => screen.split('\n').length >= 39 && /line 200 of it/.test(screen) && /○ alice|● alice/.test(screen))
      b.press('C-d')
      assert.is(await b.ended(), 0)
      assert.is((await bob.good('p2p-inbox', ['list', '--new'])).length, 0)
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
