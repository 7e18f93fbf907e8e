// What the desktop does for a conversation, by the programs that the system has for it: a notice (notify-send,
// osascript), a picture in a window (xdg-open, open). What is shown goes as an argument, never through a shell; whether
// it worked is nobody's business.

import { spawn } from 'node:child_process'

/** The command for a notice with this text; undefined for a system that has none. */
export function noticeCommand(text: string, platform: NodeJS.Platform): string[] {
  if (platform !== 'darwin') return ['notify-send', '--app-name=p2p', '--category=im.received', '--', 'p2p', text]
  const script = ['on run argv', 'display notification (item 1 of argv) with title "p2p"', 'end run']
  return ['osascript', ...script.flatMap((line) => ['-e', line]), text]
}

/** Shows it, if that can be done. */
export function notifyDesktop(text: string, platform: NodeJS.Platform = process.platform): void {
  start(noticeCommand(text, platform))
}

/** Opens a file that is no program, e.g. a picture, with what the system has for it. */
export function openOnDesktop(path: string, platform: NodeJS.Platform = process.platform): void {
  start([platform === 'darwin' ? 'open' : 'xdg-open', path])
}

function start([program = '', ...args]: string[]): void {
  spawn(program, args, { stdio: 'ignore', detached: true })
    .on('error', () => undefined) // not installed
    .unref()
}
