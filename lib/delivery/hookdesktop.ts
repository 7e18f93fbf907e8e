// What the desktop does for a conversation, by the programs that the system has for it: a notice (notify-send,
// osascript), a picture in a window (xdg-open, open). What is shown goes as an argument, never through a shell. Where
// there is no desktop, or no such program, that is said to whoever asked.

import { spawn } from 'node:child_process'

import { type Clock, sleep } from '../base/clock.ts'

const PATIENCE_MS = 1000

/** The command for a notice with this text; undefined for a system that has none. */
export function noticeCommand(text: string, platform: NodeJS.Platform): string[] {
  if (platform !== 'darwin') return ['notify-send', '--app-name=p2p', '--category=im.received', '--', 'p2p', text]
  const script = ['on run argv', 'display notification (item 1 of argv) with title "p2p"', 'end run']
  return ['osascript', ...script.flatMap((line) => ['-e', line]), text]
}

/** Shows it; why it could not, if it could not. */
export function notifyDesktop(clock: Clock, text: string, platform: NodeJS.Platform = process.platform): Promise<string | undefined> {
  return start(clock, noticeCommand(text, platform))
}

/** Opens a file that is no program, e.g. a picture, with what the system has for it; why it could not, if it could not. */
export function openOnDesktop(clock: Clock, path: string, platform: NodeJS.Platform = process.platform): Promise<string | undefined> {
  return start(clock, [platform === 'darwin' ? 'open' : 'xdg-open', path])
}

/** Who is still there after a while shows it. */
async function start(clock: Clock, [program = '', ...args]: string[]): Promise<string | undefined> {
  const child = spawn(program, args, { stdio: 'ignore', detached: true })
  child.unref()
  const ended = new Promise<string | undefined>((resolve) => {
    child.once('error', () => resolve(`${program} is not installed`))
    child.once('exit', (code) => resolve(code === 0 ? undefined : `${program} finds no desktop`))
  })
  return Promise.race([ended, sleep(clock, PATIENCE_MS).then(() => undefined)])
}
