// p2p-chat(1): a conversation on a terminal, over the same files as every other command. The full screen where there is
// one, else line by line. Closing it, in whatever way, loses nothing: what was sent is in the queue, what came in the
// inbox, what was typed in the draft.

import { printable } from '../lib/base/text.ts'
import { loadSuite } from '../lib/crypto/suite.ts'
import { fingerprintWords } from '../lib/crypto/words.ts'
import { Doing } from '../lib/chat/doing.ts'
import { emojify, loadEmoji, suggest } from '../lib/chat/emoji.ts'
import { isQuiet, ringing } from '../lib/chat/notify.ts'
import { pictureOf } from '../lib/chat/pictures.ts'
import { Plain } from '../lib/chat/plain.ts'
import { Room, type RoomOptions } from '../lib/chat/room.ts'
import type { Screen } from '../lib/chat/screen.ts'
import { aborted } from '../lib/delivery/requests.ts'
import { loadConfig } from '../lib/disk/config.ts'
import type { Contact } from '../lib/disk/contact.ts'
import { openHome, type Home } from '../lib/disk/home.ts'
import { main, type Call } from '../lib/edge/cli.ts'
import { p2pChat } from '../lib/edge/commands.ts'
import { lines, stdinChunks, stdinIsTerminal, stopInput } from '../lib/edge/input.ts'

/** Bytes of a line that is typed or piped in. */
const LINE_MAX = 1 << 20

const KEYS = [
  'Enter sends; Alt-Enter, Ctrl-J or \\ at the end of a line begins a new one; Tab completes',
  'Ctrl-N and Ctrl-P (or Alt with the arrows): the next and the previous contact',
  'PgUp and PgDn scroll; Ctrl-Shift-F searches what is shown',
  'Up, where nothing is typed: choose a message; then r replies, e puts an emoji on it, s saves its files,',
  '  c changes an own one, d takes it back, Esc leaves it',
  'F1 this page; Ctrl-Z sleeps; Ctrl-C, or Ctrl-D where nothing is typed, leaves',
]

async function chat(call: Call): Promise<void> {
  const { env } = process
  const home = await openHome({ flag: call.value('home'), env })
  const config = await loadConfig(home, env)
  const over = new AbortController()
  const leave = (): void => over.abort()
  const signal = AbortSignal.any([call.signal, over.signal, call.out.closed])
  const full = !call.flag('plain') && call.out.terminal && stdinIsTerminal() && env['TERM'] !== 'dumb'
  const plain = new Plain(call.out, () => home.clock.now(), leave)
  let screen: Screen | undefined
  const early: string[] = [] // told before there is a screen
  const show = {
    show: (page: string[]): void => (screen ?? plain).show(page),
    tell: (text: string): void => void (full && screen === undefined ? early.push(text) : (screen ?? plain).tell(text)),
    leave,
  }
  let room: Room | undefined
  const options: RoomOptions = {
    home,
    env,
    config,
    reread: () => loadConfig(home, env),
    signal,
    changed() {
      if (room === undefined) return
      if (screen !== undefined) screen.changed()
      else if (!full) plain.changed(room)
    },
    arrived(message, person) {
      const shown = person.key === room?.current.key
      if (!shown) show.tell(`${person.name} wrote${message.files.length > 0 ? ' and sent a file' : ''}`)
      if (screen === undefined || (shown && screen.looked)) return
      const settings = config.notify(person.me ? undefined : person)
      if (!isQuiet(settings, home.clock.now())) screen.ring(ringing(settings, person.name, message))
    },
    told: (text) => show.tell(text),
  }
  room = await Room.open(options, call.args[0])
  const doing = new Doing({
    home,
    room,
    surface: show,
    emojify,
    keys: full ? KEYS : [],
    words: (contact) => wordsOf(room.self.identity, contact, env),
    token: () => tokenPage(room.self.tokenText, full),
  })
  await doing.start()
  try {
    if (full) {
      screen = await openScreen(home, room, doing, leave)
      for (const text of early) screen.tell(text)
      room.start()
      await aborted(signal)
    } else {
      room.start()
      await runPlain(room, doing, plain, signal)
    }
  } finally {
    await screen?.stop()
    await doing.keep()
    over.abort()
    await room.close()
    await plain.rest()
  }
}

async function openScreen(home: Home, room: Room, doing: Doing, leave: () => void): Promise<Screen> {
  const { Screen: Full } = await import('../lib/chat/screen.ts')
  void loadEmoji()
  const { NO_COLOR = '' } = process.env
  const screen = new Full({
    room,
    doing,
    clock: home.clock,
    folder: home.at('chat'),
    colour: NO_COLOR === '',
    picture: (message) => pictureOf(room, message),
    emoji: suggest,
    leave,
  })
  screen.start()
  return screen
}

async function runPlain(room: Room, doing: Doing, plain: Plain, signal: AbortSignal): Promise<void> {
  const left = new Error('left')
  signal.addEventListener('abort', () => stopInput(left), { once: true })
  try {
    await plain.run(room, doing, lines(stdinChunks(), LINE_MAX))
  } catch (error) {
    if (error !== left) throw error
  }
}

/** The line, and below it the QR code where there is a screen that it fits. */
async function tokenPage(line: string, full: boolean): Promise<string[]> {
  const { qrCode, qrLines } = await import('../lib/edge/qrcode.ts')
  const code = full ? qrCode(line) : undefined
  return [line, ...(code === undefined ? [] : ['', ...(qrLines(code) ?? ['it is too long for a QR code on a terminal: p2p-id token --qr-file FILE.png'])])]
}

async function wordsOf(own: Uint8Array, contact: Contact, env: NodeJS.ProcessEnv): Promise<string[]> {
  const suite = await loadSuite(env)
  const [mine, theirs] = await Promise.all([fingerprintWords(own, suite), fingerprintWords(contact.identity, suite)])
  const rows = theirs.map((word, at) => `  ${String(at + 1).padStart(2)}  ${word.padEnd(12)}  ${mine[at] ?? ''}`)
  const name = printable(contact.name)
  return [
    `Read these to each other by telephone, ${name} those on the right and you those on the left.`,
    `  ${''.padStart(2)}  ${name.slice(0, 12).padEnd(12)}  you`,
    ...rows,
    '',
    contact.verified === undefined ? `They are the same: p2p-id verify ${name} --ok` : 'You have compared them before.',
  ]
}

main(p2pChat, { '': chat })
