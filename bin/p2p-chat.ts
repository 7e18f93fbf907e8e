// p2p-chat(1): a conversation on a terminal, over the same files as every other command. The full screen where there is
// one, else line by line. Closing it, in whatever way, loses nothing: what was sent is in the queue, what came in the
// inbox, what was typed in the draft.

import { tmpdir } from 'node:os'

import { Doing } from '../lib/chat/doing.ts'
import { emojify, suggest } from '../lib/chat/emoji.ts'
import { linesAtLeast } from '../lib/chat/lines.ts'
import { isQuiet, onDesktop, ringing } from '../lib/chat/notify.ts'
import { pictureOf, picturePath } from '../lib/chat/pictures.ts'
import { Plain } from '../lib/chat/plain.ts'
import { Room, type RoomOptions } from '../lib/chat/room.ts'
import type { Screen } from '../lib/chat/screen.ts'
import { aborted } from '../lib/delivery/requests.ts'
import { loadConfig } from '../lib/disk/config.ts'
import { openHome, type Home } from '../lib/disk/home.ts'
import { main, type Call } from '../lib/edge/cli.ts'
import { p2pChat } from '../lib/edge/commands.ts'
import { lines, stdinChunks, stdinIsTerminal, stopInput } from '../lib/edge/input.ts'

/** Bytes of a line that is typed or piped in. */
const LINE_MAX = 1 << 20

const KEYS = [
  '  Enter               send',
  '  Alt-Enter, Ctrl-J   a new line, as Enter makes behind \\',
  '  Tab                 complete a command, a name, a path, an emoji',
  '  Ctrl-N, Ctrl-P      the next, the previous contact',
  '  PgUp, PgDn          scroll; Ctrl-Shift-F searches what is shown',
  '  Up                  choose a message, if nothing is typed; then',
  '  r, e                reply, put an emoji on it',
  '  s, o                save its files, open its picture',
  '  c, d                an own one: change it, take it back',
  '  Esc                 leave it; the latest message',
  '  F1                  this page',
  '  Ctrl-Z              sleep until fg',
  '  Ctrl-C              leave, or Ctrl-D where nothing is typed',
]

const first = (): Promise<typeof import('../lib/chat/welcome.ts')> => import('../lib/chat/welcome.ts')

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
    enough: full ? (shown) => linesAtLeast(shown, call.out.size.columns) >= call.out.size.rows : undefined,
    changed() {
      if (room === undefined) return
      if (screen !== undefined) screen.changed()
      else if (!full) plain.changed(room)
    },
    arrived(message, person) {
      const shown = person.key === room?.current.key && screen?.atEnd !== false
      if (!shown) show.tell(`${person.name} wrote${message.files.length > 0 ? ' and sent a file' : ''}`)
      if (shown && screen?.looked !== false) return // line by line it is read as it comes
      const settings = config.notify(person.me ? undefined : person)
      if (isQuiet(settings, home.clock.now())) return
      screen?.ring(ringing(settings, person.name, message))
      const notice = onDesktop(settings, person.name, message)
      if (notice !== undefined) void onTheDesktop(notice)
    },
    told: (text) => show.tell(text),
  }
  /** Where that fails the bell rings, which is said once. */
  let failed = false
  const onTheDesktop = async (notice: string): Promise<void> => {
    const { notifyDesktop } = await import('../lib/delivery/hookdesktop.ts')
    const trouble = await notifyDesktop(home.clock, notice)
    if (trouble === undefined) return
    screen?.ring('\u0007')
    if (!failed) show.tell(`no notice on the desktop: ${trouble}`)
    failed = true
  }
  room = await Room.open(options, call.args[0])
  const doing = new Doing({
    home,
    room,
    surface: show,
    emojify,
    keys: full ? KEYS : [],
    openPicture: async (message) => {
      const { openOnDesktop } = await import('../lib/delivery/hookdesktop.ts')
      const path = await picturePath(home, room, message, tmpdir())
      return { path, trouble: await openOnDesktop(home.clock, path) }
    },
    welcome: {
      token: async () => (await first()).tokenPage(room.self.tokenText, full),
      invite: async (name) => (await first()).invitePage(home, name, full),
      words: async (contact) => (await first()).wordsPage(room.self.identity, contact, env),
      add: async (name, line) => (await first()).addContact(home, name, line, { env, config: await loadConfig(home, env), signal }),
      verify: async (contact) => (await first()).verifyContact(home, contact),
    },
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
  await screen.start()
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

main(p2pChat, { '': chat })
