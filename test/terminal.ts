// A program on a terminal, as a person has it: tmux keeps the screen, keys are typed into it, and a test waits for what
// it needs to see there, never for a time.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { pause, type Stage, until } from './peer.ts'

/** Patience for one thing to appear: interpreters start slowly on a busy machine. */
const PATIENCE_MS = 90_000
const CALM_MS = 9_000

export interface TerminalOptions {
  env: Record<string, string>
  cwd: string
  columns?: number
  rows?: number
}

export class Terminal {
  readonly #socket: string
  /** A file with the exit code, once there is one. */
  readonly #code: string
  readonly #env: NodeJS.ProcessEnv

  /** Starts a program; the stage ends it with all that it has started. */
  constructor(stage: Stage, argv: string[], options: TerminalOptions) {
    const folder = mkdtempSync(join(stage.dir, 'tty-'))
    this.#socket = join(folder, 'tmux')
    this.#code = join(folder, 'code')
    this.#env = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', SHELL: '/bin/sh', ...options.env }
    const settings = ['set -g remain-on-exit on', 'set -sg escape-time 0', 'set -g default-terminal screen', 'set -g status off']
    writeFileSync(join(folder, 'conf'), `${settings.join('\n')}\n`)
    const script = '"$@"; echo $? >"$0.part"; mv "$0.part" "$0"' // of tmux alone one learns it only sometimes
    const { columns = 130, rows = 45 } = options
    const started = this.#run('-f', join(folder, 'conf'), 'new-session', '-d', '-x', `${columns}`, '-y', `${rows}`, '-c', options.cwd, '/bin/sh', '-c', script, this.#code, ...argv)
    if (started.status !== 0) throw new Error(`tmux: ${started.stderr}`)
    stage.onClose(() => void this.#run('kill-server'))
  }

  #run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync('tmux', ['-S', this.#socket, ...args], { env: this.#env, encoding: 'utf8' })
  }

  /** What stands there now, without blanks at the ends of lines. */
  screen(): string {
    return this.#run('capture-pane', '-p').stdout.replace(/ +$/gm, '').trimEnd()
  }

  /** The same with its colours, as SGR sequences. */
  styled(): string {
    return this.#run('capture-pane', '-p', '-e').stdout.trimEnd()
  }

  /** Waits until nothing has changed for longer than anything that is told for a while stands there. */
  async calm(): Promise<void> {
    for (let [before, since] = ['', performance.now()]; performance.now() - since < CALM_MS; await pause(300)) {
      const now = this.styled()
      if (now !== before) [before, since] = [now, performance.now()]
    }
  }

  /** Waits until it stands there; the screen. */
  async see(what: RegExp | ((screen: string) => boolean), patienceMs = PATIENCE_MS): Promise<string> {
    let screen = ''
    const there = (): boolean => {
      screen = this.screen()
      return typeof what === 'function' ? what(screen) : what.test(screen)
    }
    await until(String(what), there, patienceMs).catch((error: unknown) => {
      throw new Error(`never on the screen: ${String(what)}\n${screen}`, { cause: error })
    })
    return screen
  }

  /** Types text as it is. */
  type(text: string): void {
    this.#run('send-keys', '-l', '--', text)
  }

  /** As a terminal gives what is pasted. */
  paste(text: string): void {
    this.#run('set-buffer', '--', text)
    this.#run('paste-buffer', '-p')
  }

  /** Presses keys by tmux's names: Enter, Escape, C-x, or letters. */
  press(...keys: string[]): void {
    this.#run('send-keys', '--', ...keys)
  }

  resize(columns: number, rows: number): void {
    this.#run('resize-window', '-x', `${columns}`, '-y', `${rows}`)
  }

  /** Of the program that was started. */
  pid(): number {
    return Number(this.#run('display-message', '-p', '#{pane_pid}').stdout.trim())
  }

  /** Kills it as nothing can prevent. */
  async kill(): Promise<void> {
    process.kill(this.pid(), 'SIGKILL')
    await until('it was killed', () => this.#run('display-message', '-p', '#{pane_dead}').stdout.trim() === '1', PATIENCE_MS)
  }

  /** Waits until the program has ended, and gives its exit code. */
  async ended(): Promise<number> {
    await until('the program has ended', () => existsSync(this.#code), PATIENCE_MS).catch((error: unknown) => {
      throw new Error(`it does not end\n${this.screen()}`, { cause: error })
    })
    return Number(readFileSync(this.#code, 'utf8'))
  }
}
