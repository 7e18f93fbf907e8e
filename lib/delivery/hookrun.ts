// One run of a command for a message: /bin/sh in a process group of its own, the exact body on its standard input, the
// record on descriptor 3, and an environment in which nothing was written by the sender.

import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'

import type { Clock } from '../base/clock.ts'
import { EX, Failure, isCode } from '../base/fail.ts'
import { isoTime } from '../base/utc.ts'
import type { Home } from '../disk/home.ts'
import { partContent } from '../disk/inboxview.ts'
import { ndjson } from '../edge/output.ts'
import type { ReadMail, ReadPart } from '../wire/mailread.ts'
import { mainPart, type MessageInfo, messageRecord, typeOf } from '../wire/record.ts'

/** Then the process group is ended, politely and then not. */
export const LIMIT_MS = 60_000
const KILL_MS = 2_000

/** sysexits(3): run it again. */
export const LATER = 75

/** What timeout(1) exits with. */
export const OVERTIME = 124

export interface HookRun {
  /** The exit code; 128 and the signal's number if one ended it, OVERTIME if that was ours. Never rejects. */
  code: Promise<number>
  /** To the whole process group. */
  kill(signal: NodeJS.Signals): void
}

/** Starts `command` for a message. `trouble` hears why it could not be started or fed. */
export function startHook(
  home: Home,
  command: string,
  message: { info: MessageInfo; mail: ReadMail },
  trouble: (error: unknown) => void,
): HookRun {
  const { info, mail } = message
  let child: ChildProcess
  try {
    child = spawn('/bin/sh', ['-c', command], {
      detached: true,
      env: { ...process.env, ...environment(home, info) },
      stdio: ['pipe', 2, 2, 'pipe'], // the standard output of this process carries records only
    })
  } catch (error) {
    trouble(error) // E2BIG, ENOMEM; most errors come as an event
    return { code: Promise.resolve(LATER), kill: () => undefined }
  }
  const kill = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal)
    } catch (error) {
      if (!isCode(error, 'ESRCH')) throw error
    }
  }
  const code = new Promise<number>((resolve) => {
    const limit = limits(home.clock, kill)
    let over = false
    const end = (code: number): void => {
      over = true
      limit.cancel()
      resolve(code)
    }
    child.on('error', (error) => {
      trouble(error) // no process or no descriptor is left for it: that passes
      end(LATER)
    })
    child.on('exit', (status, signal) => {
      end(status ?? (limit.passed() ? OVERTIME : 128 + (signal === null ? 0 : constants.signals[signal])))
    })
    const record = child.stdio[3] as NodeJS.WritableStream | undefined
    Promise.all([feed(child.stdin, body(home, mail)), feed(record, line(info))]).catch((error: unknown) => {
      if (!over) trouble(error)
    })
  })
  return { code, kill }
}

function limits(clock: Clock, kill: (signal: NodeJS.Signals) => void): { cancel(): void; passed(): boolean } {
  let passed = false
  const end = (): void => {
    passed = true
    kill('SIGTERM')
  }
  const cancels = [clock.after(LIMIT_MS, end), clock.after(LIMIT_MS + KILL_MS, () => kill('SIGKILL'))]
  return { cancel: () => cancels.forEach((cancel) => cancel()), passed: () => passed }
}

function environment(home: Home, info: MessageInfo): Record<string, string> {
  const time = (ms: number | undefined): string => (ms === undefined ? '' : isoTime(ms))
  return {
    P2P_HOME: home.path,
    P2P_ID: info.id ?? '',
    P2P_FROM: info.from,
    P2P_KEY: info.key ?? '',
    P2P_TYPE: typeOf(info),
    P2P_PATH: info.path ?? '',
    P2P_REPLY: info.reply ?? '',
    P2P_DATE: time(info.created),
    P2P_RECEIVED: time(info.received),
    P2P_VERIFIED: info.verified === true ? 'yes' : 'no',
    P2P_AUTO: info.auto === true ? 'yes' : 'no',
  }
}

async function* line(info: MessageInfo): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(`${ndjson(messageRecord(info))}\n`)
}

/** The text, else the one file; nothing of several files without a text, which stand in the record. */
async function* body(home: Home, mail: ReadMail): AsyncGenerator<Uint8Array> {
  let part: ReadPart
  try {
    part = mainPart(mail)
  } catch (error) {
    if (error instanceof Failure && error.exit === EX.DATA) return
    throw error
  }
  yield* partContent(home, part)
}

/** A command need not read what it is given. */
async function feed(to: NodeJS.WritableStream | null | undefined, content: AsyncIterable<Uint8Array>): Promise<void> {
  if (to === null || to === undefined) return // no descriptors were left for it
  let open = true
  const gone = new Promise<void>((resolve) => {
    const end = (): void => {
      open = false
      resolve()
    }
    to.on('error', end)
    to.on('close', end)
  })
  try {
    for await (const bytes of content) {
      if (!open) return
      if (!to.write(bytes)) await Promise.race([gone, new Promise((resolve) => to.once('drain', resolve))])
    }
  } finally {
    to.end()
  }
}
