// Commands that run for each message after it is delivered. A message waits in hooks/pending/ (a link to its mail)
// until its command has ended with anything but 75, so a run survives every crash: at least once. The command gets
// the exact body on stdin, p2p-inbox's record on descriptor 3 and only ids, own names and paths in its environment.

import { spawn } from 'node:child_process'

import type { Clock } from '../base/clock.ts'
import { isCode } from '../base/fail.ts'
import { cursorsOf } from '../disk/arrivals.ts'
import type { Home } from '../disk/home.ts'
import { partContent } from '../disk/inboxview.ts'
import { listMaildir } from '../disk/maildir.ts'
import { ndjson } from '../edge/output.ts'
import { openSource, readMail, type ReadMail } from '../wire/mailread.ts'
import { infoOfRead, mainPart, type MessageInfo, messageRecord } from '../wire/record.ts'

/** Commands at once. */
const PARALLEL = 4

/** Then the command's process group is ended. */
const LIMIT_MS = 60_000
const KILL_MS = 2_000

/** At the end of the listener there is less time. */
const STOP_MS = 500

/** A command that said "later" (exit 75, or a signal) runs again after this. */
const AGAIN_MS = 60_000
const LATER = 75

export interface HookEvents {
  /** A command ended with something else than 0, or ran too long. */
  trouble(text: string): void
}

export class Hooks {
  readonly #home: Home
  readonly #clock: Clock
  readonly #command: string
  readonly #events: HookEvents
  readonly #queue: string[] = []
  readonly #known = new Set<string>()
  readonly #children = new Set<(signal: NodeJS.Signals) => void>()
  readonly #cancels = new Set<() => void>()
  #running = new Set<Promise<void>>()
  #stopped = false

  constructor(home: Home, command: string, events: HookEvents) {
    this.#home = home
    this.#clock = home.clock
    this.#command = command
    this.#events = events
  }

  /** Runs what earlier processes left, then whatever comes. */
  async start(): Promise<void> {
    for (const name of (await this.#home.files.list(this.#home.at('hooks', 'pending'))).sort()) this.add(name)
  }

  /** A file in hooks/pending. */
  add(name: string): void {
    if (this.#known.has(name)) return
    this.#known.add(name)
    this.#queue.push(name)
    this.#next()
  }

  /** Resolves when everything that was pending has run once. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  /** Starts nothing more and ends what runs; it stays pending. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const cancel of this.#cancels) cancel()
    for (const kill of this.#children) kill('SIGTERM')
    const cancel = this.#clock.after(STOP_MS, () => {
      for (const kill of this.#children) kill('SIGKILL')
    })
    await this.idle()
    cancel()
  }

  #next(): void {
    while (!this.#stopped && this.#running.size < PARALLEL && this.#queue.length > 0) {
      const name = this.#queue.shift() as string
      const run = this.#run(name)
        .catch((error: unknown) => this.#events.trouble(error instanceof Error ? error.message : String(error)))
        .finally(() => {
          this.#running.delete(run)
          this.#next()
        })
      this.#running.add(run)
    }
  }

  async #run(name: string): Promise<void> {
    const pending = this.#home.at('hooks', 'pending', name)
    let handle
    try {
      handle = await this.#home.files.open(pending, 'read')
    } catch (error) {
      if (isCode(error, 'ENOENT')) return
      throw error
    }
    let code: number
    try {
      const mail = await readMail(await openSource(handle))
      const info = await infoOfRead(mail, true)
      // An automatic message starts nothing: two bots cannot keep each other busy.
      code = info.auto === true ? 0 : await this.#spawn(name, mail, info)
    } finally {
      await handle.close()
    }
    if (code === LATER) {
      this.#known.delete(name)
      if (this.#stopped) return
      const cancel = this.#clock.after(AGAIN_MS, () => {
        this.#cancels.delete(cancel)
        this.add(name)
      })
      this.#cancels.add(cancel)
      return
    }
    if (code !== 0) this.#events.trouble(`the command for message ${name.split('.')[1] ?? name} ended with ${code}`)
    await this.#home.files.unlink(pending)
    this.#known.delete(name)
  }

  /** Where a mail program may have moved the message meanwhile, and what it made of its flags. */
  async #whereIs(name: string): Promise<{ path: string; flags: string; cursor: number | undefined }> {
    const home = this.#home
    const [time = '', id32 = ''] = name.split('.')
    const cursor = (await cursorsOf(home, [{ id32, time: /^\d+$/.test(time) ? BigInt(time) : 0n }])).get(id32)
    const fresh = home.at('inbox', 'new', name)
    if ((await home.files.stat(fresh)) !== undefined) return { path: fresh, flags: '', cursor }
    const entry = (await listMaildir(home, 'inbox')).find(({ base }) => base === name)
    return { path: entry?.path ?? home.at('hooks', 'pending', name), flags: entry?.flags ?? '', cursor }
  }

  async #spawn(name: string, mail: ReadMail, info: MessageInfo): Promise<number> {
    const where = await this.#whereIs(name)
    const child = spawn('/bin/sh', ['-c', this.#command], {
      detached: true, // a process group of its own, to be ended as one
      env: { ...process.env, ...hookEnvironment(this.#home, info, where.path) },
      stdio: ['pipe', 2, 2, 'pipe'], // stdout of the listener carries records only
    })
    return new Promise((resolve) => {
      const kill = (signal: NodeJS.Signals): void => {
        try {
          if (child.pid !== undefined) process.kill(-child.pid, signal)
        } catch (error) {
          if (!isCode(error, 'ESRCH')) throw error
        }
      }
      this.#children.add(kill)
      const cancels = [
        this.#clock.after(LIMIT_MS, () => kill('SIGTERM')),
        this.#clock.after(LIMIT_MS + KILL_MS, () => kill('SIGKILL')),
      ]
      const over = (code: number): void => {
        cancels.forEach((cancel) => cancel())
        this.#children.delete(kill)
        resolve(code)
      }
      child.on('error', () => over(127))
      // What was ended because we end did not get its time.
      child.on('exit', (code) => over(this.#stopped && code !== 0 ? LATER : (code ?? 124)))
      const fed = [
        feed(child.stdin, partContent(this.#home, mainPart(mail))),
        feed(child.stdio?.[3] as NodeJS.WritableStream | undefined, record({ ...info, ...where })),
      ]
      Promise.all(fed).catch((error: unknown) => {
        if (this.#children.has(kill)) this.#events.trouble(error instanceof Error ? error.message : String(error))
      })
    })
  }
}

/** What a command learns of its message: nothing that its sender wrote. */
function hookEnvironment(home: Home, info: MessageInfo, path: string): Record<string, string> {
  const time = (ms: number | undefined): string => (ms === undefined ? '' : new Date(ms).toISOString())
  const type = info.reaction !== undefined ? 'reaction' : info.parts.length > 0 ? 'file' : 'text'
  return {
    P2P_HOME: home.path,
    P2P_ID: info.id ?? '',
    P2P_FROM: info.from,
    P2P_KEY: info.key ?? '',
    P2P_TYPE: type,
    P2P_PATH: path,
    P2P_REPLY: info.reply ?? '',
    P2P_DATE: time(info.created),
    P2P_RECEIVED: time(info.received),
    P2P_VERIFIED: info.verified === true ? 'yes' : 'no',
    P2P_AUTO: info.auto === true ? 'yes' : 'no',
  }
}

async function* record(info: MessageInfo): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(`${ndjson(messageRecord(info))}\n`)
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
