// The edge of every command: strict arguments in, one handler called, words on standard error, one exit code out.
// A Failure is told in one line with a hint; anything else that is thrown is a bug, exit 70 with a stack. The code goes
// into process.exitCode and the process ends by itself, so nothing written to standard output is cut off.

import { systemClock } from '../base/clock.ts'
import { EX, Failure, ioFailure, worst, type ExitCode } from '../base/fail.ts'
import { version } from '../base/version.ts'

import type { Command, Verb } from './table.ts'
import { isTerminal } from './descriptor.ts'
import { stopInput } from './input.ts'
import { Missing, readArguments, type Request } from './options.ts'
import { Output } from './output.ts'
import { sealProcess } from './sealed.ts'
import { shortUsage } from './synopsis.ts'
import { say } from './words.ts'

const GRACE_MS = 1800 // from a signal to the end: p2p(7) promises less than 2 s
const LEFT_MS = 5000 // from the end of a handler to that of its process, whatever it has left open
const TELL_AFTER_MS = 300 // a shorter wait needs no explanation
const NEEDS_A_PERSON = (code: ExitCode): boolean => code >= 64 && code !== EX.TEMPORARY

/** What a handler gets: one parsed call of a command. */
export interface Call {
  readonly verb: string
  readonly args: string[]
  flag(name: string): boolean
  value(name: string): string | undefined
  values(name: string): string[]
  readonly out: Output
  readonly verbose: boolean
  readonly quiet: boolean
  /** Aborted by SIGINT and SIGTERM; when the handler has returned, the process dies by it (or exits 0: Command.signals). */
  readonly signal: AbortSignal
  /** True from when it is to stop, or from when nobody reads any more what it tells; costs less to ask than signals. */
  readonly over: boolean
  /** Tells a Failure (or a bug) and remembers its exit code; the call goes on. */
  report(error: unknown): void
  /** A line that is no failure: a warning. */
  warn(text: string): void
  /** A line that only informs; not with -q. */
  info(text: string): void
  /** As info, but only on a terminal or with -v: what is being tried, who else holds the lock. */
  tell(text: string): void
  /** As tell, unless cancelled within 0.3 s by calling the result. */
  waiting(text: string): () => void
  /** `program: hint: COMMAND`, a runnable line. */
  hint(command: string): void
  /** Remembers an exit code without a text. */
  exit(code: ExitCode): void
  /** To be thrown when a required argument is not there, e.g. missing('NAME'): usage, two examples, 64. */
  missing(what: string): Failure
}

export type Handler = (call: Call) => Promise<void>

class Invocation implements Call {
  readonly out: Output
  readonly codes = new Set<ExitCode>()
  readonly #command: Command
  readonly #request: Extract<Request, { want: 'run' }>
  #controller: AbortController | undefined
  /** Why the call is to stop. */
  #stopping: Error | undefined

  constructor(command: Command, request: Extract<Request, { want: 'run' }>) {
    this.#command = command
    this.#request = request
    this.out = new Output({ json: request.json, quiet: this.quiet })
  }

  /** Made when it is first asked for: most short calls end without. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#stopping !== undefined) this.#controller.abort(this.#stopping)
    }
    return this.#controller.signal
  }

  get over(): boolean {
    return this.#stopping !== undefined || this.out.over
  }

  abort(reason: Error): void {
    this.#stopping = reason
    this.#controller?.abort(reason)
  }

  get verb(): string {
    return this.#request.verb.name
  }

  get args(): string[] {
    return this.#request.args
  }

  get quiet(): boolean {
    return this.flag('quiet')
  }

  get verbose(): boolean {
    return this.flag('verbose')
  }

  flag(name: string): boolean {
    return this.#request.options.has(name)
  }

  value(name: string): string | undefined {
    return this.#request.options.get(name)?.at(-1)
  }

  values(name: string): string[] {
    return this.#request.options.get(name) ?? []
  }

  report(error: unknown): void {
    const { quiet, verbose } = this
    this.codes.add(tellError(this.#command, error, { quiet, verbose, home: this.value('home') }))
  }

  warn(text: string): void {
    if (!this.quiet) say(this.#command.name, 'warning', text)
  }

  info(text: string): void {
    if (!this.quiet) say(this.#command.name, 'info', text)
  }

  tell(text: string): void {
    if (this.verbose || isTerminal(2)) this.info(text)
  }

  waiting(text: string): () => void {
    return systemClock.after(TELL_AFTER_MS, () => this.tell(text), true)
  }

  hint(command: string): void {
    this.info(`hint: ${runnable(command, this.value('home'))}`)
  }

  exit(code: ExitCode): void {
    this.codes.add(code)
  }

  missing(what: string): Failure {
    return new Missing(`missing ${what}`, this.#request.verb)
  }
}

/** A hint is a line that can be run: for the home that the failed call was about. */
function runnable(hint: string, home: string | undefined): string {
  if (home === undefined || !hint.startsWith('p2p-')) return hint
  return `${hint} --home ${/^[\w./+-]+$/.test(home) ? home : `'${home.replaceAll("'", "'\\''")}'`}`
}

interface Telling {
  quiet?: boolean
  verbose?: boolean
  /** What --home said. */
  home?: string | undefined
}

/** Writes what went wrong to standard error, as far as -q lets it, and returns its exit code. */
function tellError(command: Command, thrown: unknown, { quiet, verbose, home }: Telling = {}): ExitCode {
  const error = asFailure(thrown)
  if (error instanceof Failure) {
    if (quiet === true && !NEEDS_A_PERSON(error.exit)) return error.exit
    say(command.name, 'error', error.message)
    if (error instanceof Missing) say('', 'info', shortUsage(command, error.verb ?? onlyVerb(command)))
    if (error.hint !== undefined) say(command.name, 'info', `hint: ${runnable(error.hint, home)}`)
    if (verbose === true && error !== thrown) say('', 'info', stackOf(thrown))
    return error.exit
  }
  say(command.name, 'error', `bug in version ${version}: ${stackOf(error)}`)
  return EX.SOFTWARE
}

/** A full disk or a missing permission that nobody named is still no bug: errors of system calls become Failures. */
function asFailure(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Failure) return error
  const { code, syscall, path } = error as NodeJS.ErrnoException
  if (code === undefined || syscall === undefined || !/^E[A-Z0-9]+$/.test(code)) return error
  return ioFailure(error, path === undefined ? syscall : `${syscall} ${path}`)
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${String(error)}`
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stackOf(error.cause)}`
  return (error.stack ?? `${error.name}: ${error.message}`) + cause
}

function onlyVerb(command: Command): Verb | undefined {
  return command.verbs[0]?.name === '' ? command.verbs[0] : undefined
}

/** Whether the first argument begins so: some programs know a command by another name and call it by its option. */
export function calledWith(prefix: string): boolean {
  return process.argv[2]?.startsWith(prefix) === true
}

/** Runs a command: the last line of every bin/*.ts. `handlers` are by verb, '' for a command without verbs. */
export function main(command: Command, handlers: Record<string, Handler>): void {
  sealProcess()
  void run(command, handlers, process.argv.slice(2))
}

async function help(command: Command, verb: Verb | undefined): Promise<string> {
  return (await import('./usage.ts')).helpText(command, verb)
}

async function run(command: Command, handlers: Record<string, Handler>, argv: string[]): Promise<void> {
  try {
    const request = readArguments(command, argv)
    if (request.want === 'run') return await invoke(command, request, handlers)
    const out = new Output()
    const text = request.want === 'help' ? await help(command, request.verb) : `${command.name} ${version}\n`
    await out.raw(new TextEncoder().encode(text))
    await out.flush()
    process.exitCode = out.failure === undefined ? EX.OK : tellError(command, out.failure)
  } catch (error) {
    process.exitCode = tellError(command, error)
  }
}

async function invoke(
  command: Command,
  request: Extract<Request, { want: 'run' }>,
  handlers: Record<string, Handler>,
): Promise<void> {
  const handler = handlers[request.verb.name]
  if (handler === undefined) throw new Error(`no handler for ${command.name} ${request.verb.name}`)
  const call = new Invocation(command, request)
  const stopping = new Error('interrupted')
  let caught: NodeJS.Signals | undefined

  let ended = false

  const end = (): void => {
    if (caught === undefined) {
      process.exitCode = worst(call.codes)
      ended = true
      return
    }
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
    if (command.signals === 'clean') process.exitCode = call.codes.has(EX.SOFTWARE) ? EX.SOFTWARE : EX.OK
    else process.removeAllListeners(caught).kill(process.pid, caught) // proper-lockfile listens too, and is heard too late
  }
  function onSignal(name: NodeJS.Signals): void {
    if (ended) process.exit() // too late to be the reason
    if (caught !== undefined) process.off(name, onSignal).kill(process.pid, name) // the second one is for good
    caught = name
    systemClock.after(
      GRACE_MS,
      () => {
        end()
        process.exit() // only when a handler hangs: what it still holds is repaired by the next start
      },
      true,
    )
    stopInput(stopping)
    call.abort(stopping)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  process.on('uncaughtException', (error) => {
    call.report(error)
    caught = undefined
    const cut = (): void => {
      end()
      process.exit() // the state of the process is unknown: no more work, only the output
    }
    systemClock.after(GRACE_MS, cut, true)
    void call.out.flush().then(cut)
  })

  try {
    await handler(call)
  } catch (error) {
    if (caught === undefined || !isAbort(error, stopping)) call.report(error)
  }
  await call.out.flush()
  if (call.out.failure !== undefined) call.report(call.out.failure)
  end()
  if (caught === undefined || command.signals === 'clean') process.nextTick(leave)
  else leaveLater()
}

/**
 * What node would take apart now, with nothing left to come, the system takes away in a tenth of the time; a short call
 * ends without that node has ever waited for anything. Once more after all callbacks: what the last one was called for
 * counts as under way until it is over.
 */
function leave(): void {
  if (process.getActiveResourcesInfo().length === 0) process.exit()
  setImmediate(leaveNow)
}

function leaveNow(): void {
  if (process.getActiveResourcesInfo().length === 0) process.exit()
  process.on('beforeExit', () => process.exit()) // a connection that is being closed, say
  leaveLater()
}

function leaveLater(): void {
  systemClock.after(LEFT_MS, () => process.exit(), true) // a disk that fails may keep the handler from closing something
}

/** True for what a handler throws because it was told to stop. */
function isAbort(error: unknown, reason: Error): boolean {
  return error === reason || (error instanceof Error && (error.name === 'AbortError' || error.cause === reason))
}
