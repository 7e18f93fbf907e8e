// Commands that run for each message after it is delivered. A message waits in hooks/pending/ (a link to its mail)
// until its command has ended with anything but 75, so a run survives every crash: at least once. Whoever receives
// runs them, the listener or a flush.

import type { Clock } from '../base/clock.ts'
import { isCode, Malformed } from '../base/fail.ts'
import { cursorsOf } from '../disk/arrivals.ts'
import { HOOK_TYPES, type HookType } from '../disk/configkeys.ts'
import type { FileHandle } from '../disk/filehandle.ts'
import type { Home } from '../disk/home.ts'
import type { Delivered } from '../disk/inbox.ts'
import { tryLock } from '../disk/lock.ts'
import { listMaildir } from '../disk/maildir.ts'
import { openSource, readMail } from '../wire/mailread.ts'
import { infoOfRead, type MessageInfo, type MessageType, typeOf } from '../wire/record.ts'
import { type HookRun, LATER, LIMIT_MS, OVERTIME, startHook } from './hookrun.ts'

/** Commands at once. */
const PARALLEL = 4

const isHookType = (type: MessageType): type is HookType => (HOOK_TYPES as readonly string[]).includes(type)

/** At the end of the listener there is less time than a command has otherwise. */
const STOP_MS = 500

/** A command that said "later" (exit 75), or could not be started, runs again after this. */
const AGAIN_MS = 60_000

/** Somebody else runs it, or died a moment ago in a way that does not show yet: looked at again after this. */
const TAKEN_MS = 3000

export interface HookOptions {
  /**
   * The command for a message of this contact (KEY) and type; empty: none for this type. Undefined: none for any of his,
   * the message stays pending for whoever has one.
   */
  command(key: string, type: HookType): string | undefined
  /** Whether messages of programs have it run, too. */
  auto(): boolean
  /** NAME of a contact. */
  nameOf(key: string): string | undefined
  /** A command ended with something else than 0, or took too long. */
  trouble(text: string): void
}

export class Hooks {
  readonly #home: Home
  readonly #clock: Clock
  readonly #options: HookOptions
  readonly #queue: string[] = []
  /** Names in the queue, running, or to be run again after a while. */
  readonly #known = new Set<string>()
  readonly #runs = new Set<HookRun>()
  readonly #cancels = new Set<() => void>()
  readonly #running = new Set<Promise<void>>()
  #stopped = false

  constructor(home: Home, options: HookOptions) {
    this.#home = home
    this.#clock = home.clock
    this.#options = options
  }

  /** Runs the commands for all that is pending: earlier processes may have left it. */
  async look(): Promise<void> {
    for (const name of (await this.#home.files.list(this.#home.at('hooks', 'pending'))).sort()) this.#add(name)
  }

  /** A message that this process has just received. */
  add({ path, hooked }: Delivered): void {
    if (hooked) this.#add(path.slice(path.lastIndexOf('/') + 1).replace(/:2,.*$/, '')) // a receipt has flags already
  }

  /** Resolves when everything that was pending has run once. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  /** Starts nothing more and ends what runs; it stays pending. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const cancel of this.#cancels) cancel()
    for (const run of this.#runs) run.kill('SIGTERM')
    const cancel = this.#clock.after(STOP_MS, () => {
      for (const run of this.#runs) run.kill('SIGKILL')
    })
    await this.idle()
    cancel()
  }

  #add(name: string): void {
    if (this.#known.has(name)) return
    this.#known.add(name)
    this.#queue.push(name)
    this.#next()
  }

  #next(): void {
    while (!this.#stopped && this.#running.size < PARALLEL && this.#queue.length > 0) {
      const name = this.#queue.shift() as string
      const running = this.#claim(name)
        .catch((error: unknown) => this.#trouble(error))
        .then((again) => {
          this.#running.delete(running)
          if (again !== undefined) this.#later(name, again === 'again' ? AGAIN_MS : TAKEN_MS)
          else this.#known.delete(name)
          this.#next()
        })
      this.#running.add(running)
    }
  }

  #later(name: string, ms: number): void {
    if (this.#stopped) return
    const cancel = this.#clock.after(ms, () => {
      this.#cancels.delete(cancel)
      this.#known.delete(name)
      this.#add(name)
    })
    this.#cancels.add(cancel)
  }

  #trouble(error: unknown): void {
    this.#options.trouble(error instanceof Error ? error.message : String(error))
  }

  /** Under a lock, so that two processes that see the same message do not both run its command. */
  async #claim(name: string): Promise<'again' | 'taken' | undefined> {
    if ((await this.#home.files.stat(this.#home.at('hooks', 'pending', name))) === undefined) return undefined
    const claim = await tryLock(this.#home, `hook.${name.split('.')[1] ?? name}`)
    if (claim === undefined) return 'taken'
    try {
      return await this.#deal(name)
    } finally {
      await claim.release()
    }
  }

  async #deal(name: string): Promise<'again' | undefined> {
    const pending = this.#home.at('hooks', 'pending', name)
    let handle: FileHandle
    try {
      handle = await this.#home.files.open(pending, 'read')
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined
      throw error
    }
    try {
      const left = await this.#run(name, handle)
      if (left !== 'done') return left
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.#trouble(new Error(`no command is run for ${pending}: ${error.message}`))
    } finally {
      await handle.close()
    }
    await this.#home.files.unlink(pending)
    return undefined
  }

  /** Undefined: there is no command, and it stays pending for whoever has one. */
  async #run(name: string, handle: FileHandle): Promise<'done' | 'again' | undefined> {
    const mail = await readMail(await openSource(handle))
    const read = await infoOfRead(mail)
    const { key, auto, id = name } = read
    // Only what a contact sent, and by hand unless wanted otherwise: two bots cannot keep each other busy.
    if (key === undefined || (auto === true && !this.#options.auto())) return 'done'
    const type = typeOf(read)
    if (!isHookType(type)) return 'done'
    const command = this.#options.command(key, type)
    if (command === undefined) return undefined
    if (command === '') return 'done'
    const info = { ...read, ...(await this.#whereIs(name)), from: this.#options.nameOf(key) ?? read.from }
    if (this.#stopped) return 'again'
    const run = startHook(this.#home, command, { info, mail }, (error) => this.#trouble(error))
    this.#runs.add(run)
    const code = await run.code
    this.#runs.delete(run)
    // What was ended because we end did not get its time.
    if (code === LATER || (this.#stopped && code !== 0)) return 'again'
    const why = code === OVERTIME ? `took longer than ${LIMIT_MS / 1000} s` : `ended with ${code}`
    if (code !== 0) this.#trouble(new Error(`the command for message ${id.slice(0, 8)} ${why}`))
    return 'done'
  }

  /** Where a mail program may have moved the message meanwhile, and what it made of its flags. */
  async #whereIs(name: string): Promise<Pick<MessageInfo, 'path' | 'flags' | 'cursor'>> {
    const home = this.#home
    const [time = '', id32 = ''] = name.split('.')
    const cursor = (await cursorsOf(home, [{ id32, time: /^\d+$/.test(time) ? BigInt(time) : 0n }])).get(id32)
    const fresh = home.at('inbox', 'new', name)
    if ((await home.files.stat(fresh)) !== undefined) return { path: fresh, flags: '', cursor }
    const entry = (await listMaildir(home, 'inbox')).find(({ base }) => base === name)
    return { path: entry?.path ?? home.at('hooks', 'pending', name), flags: entry?.flags ?? '', cursor }
  }
}
