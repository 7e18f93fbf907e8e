// p2p(1): how things stand and the one next step; or, with a word, another command in this process.

import { EX, Failure } from '../lib/base/fail.ts'
import { forHome } from '../lib/base/quoting.ts'
import { printable, quote } from '../lib/base/text.ts'
import { type Status, statusOf } from '../lib/delivery/status.ts'
import type { Call } from '../lib/edge/cli.ts'
import { COMMANDS, p2p } from '../lib/edge/commands.ts'
import { dispatch } from '../lib/edge/dispatch.ts'

/** Digits of a KEY that people know one another by. */
const KEY_SHOWN = 8

async function tellStatus(call: Call): Promise<void> {
  const [surplus] = call.args // behind a `--`: everything else was dispatched
  if (surplus !== undefined) throw new Failure(EX.USAGE, `surplus argument ${quote(surplus)}`, 'p2p --help')
  const home = call.value('home')
  const status = await statusOf({ flag: home, env: process.env })
  const { failure, unverified, next, ...rest } = status
  const command = forHome(next.command, home)
  const record = { v: 1, type: 'status', ...rest, ...(unverified > 0 && { unverified }), next: command }
  await call.out.record(record, () => lines(status, command))
  if (failure === undefined) return
  call.exit(failure.exit)
  const known = failure.hint === 'p2p-id init' && !call.quiet // said above, and no error to a newcomer
  if (!known) call.report(failure)
}

function lines(status: Status, command: string): string {
  const { name, key, home, port, listener, pid, contacts, unverified, unread, waiting, failed, next } = status
  const rows: [string, string][] = []
  if (name === undefined || key === undefined) {
    rows.push(['you', 'nobody yet'], ['home', home])
  } else {
    rows.push(['you', `${name}, key ${key.slice(0, KEY_SHOWN)}`], ['home', home])
    rows.push(['listener', listener ? `up, pid ${pid}, port ${port}` : `down, port ${port}`])
    const strangers = unverified > 0 ? `, ${unverified} not verified` : ''
    rows.push(['contacts', contacts === 0 ? 'none' : `${contacts}${strangers}`])
    rows.push(['unread', String(unread)], ['waiting', String(waiting)])
    if (failed > 0) rows.push(['failed', String(failed)])
  }
  rows.push(['next', `${command}   # ${next.why}`])
  return rows.map(([label, text]) => printable(`${label.padEnd(10)}${text}`)).join('\n')
}

dispatch(p2p, tellStatus, COMMANDS.map(({ name }) => name))
