// A person at a shell on a terminal: lines are typed, as a reader of the manual types them, and each is over when the
// shell asks for the next one. The terminal is made by script(1); a passphrase is typed wherever one is asked for.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'

import { until } from './peer.ts'

const PASSPHRASE = 'correct horse battery staple'

/** What the shell writes when it wants the next line: the exit status of the last one. Others may write behind it. */
const PROMPT = /(?:^|\n)@@(\d+)@@\n/

export interface Answered {
  code: number
  /** What came on the terminal, without what was typed and without lines that were written over. */
  text: string
}

export interface Keys {
  /** Pressed once this is on the terminal, or that has come about. */
  when: RegExp | (() => boolean | Promise<boolean>)
  press: string
}

export class Desk {
  readonly #shell: ChildProcess
  readonly #ended: Promise<void>
  /** All that came since the last prompt. */
  #text = ''
  #over = false
  /** The process of the shell, which leads its session. */
  #pid = 0

  /** A shell in `home` with this environment and no other. */
  constructor(home: string, env: Record<string, string>) {
    this.#shell = spawn('script', ['-qefc', "PS1='\\n@@$?@@\\n' PS2= exec bash --norc --noprofile --noediting -i", '/dev/null'], {
      cwd: home,
      env: { HOME: home, SHELL: '/bin/bash', TERM: 'xterm', LC_ALL: 'C.UTF-8', ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#shell.stdin?.on('error', () => undefined) // the shell is gone: whoever waits for it says so
    this.#shell.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#text = shown(this.#text + text)))
    this.#ended = new Promise((resolve) => {
      this.#shell.on('close', () => {
        this.#over = true
        resolve()
      })
    })
  }

  /** Waits for the first prompt. */
  async open(): Promise<void> {
    await this.#prompt('a shell', undefined)
    const { text } = await this.line('stty -echo rows 40 columns 130; set +o history; echo "leader $$"')
    this.#pid = Number(/leader (\d+)$/.exec(text)?.[1])
  }

  /** What is on the terminal since the last line was typed. */
  get text(): string {
    return this.#text
  }

  /** Types a line and waits for its end; `keys` are for a program that reads them. */
  async line(typed: string, keys?: Keys): Promise<Answered> {
    this.#text = ''
    this.#shell.stdin?.write(`${typed}\n`)
    return this.#prompt(typed, keys)
  }

  async #prompt(typed: string, keys: Keys | undefined): Promise<Answered> {
    let asked = 0
    let pressed = keys === undefined
    const look = async (): Promise<boolean> => {
      if (this.#over) throw new Error(`the shell ended: ${typed}\n${this.#text}`)
      const questions = this.#text.match(/passphrase[^:\n]*: /g)?.length ?? 0
      for (; asked < questions; asked++) this.#shell.stdin?.write(`${PASSPHRASE}\r`)
      if (PROMPT.test(this.#text)) return true
      if (!pressed && keys !== undefined) {
        pressed = typeof keys.when === 'function' ? await keys.when() : keys.when.test(this.#text)
        if (pressed) this.#shell.stdin?.write(keys.press)
      }
      return false
    }
    await until(typed, look).catch((error: unknown) => {
      throw new Error(`no end of: ${typed}\n${this.#text}`, { cause: error })
    })
    if (!pressed) throw new Error(`it ended before a key was pressed: ${typed}\n${this.#text}`)
    const code = Number(PROMPT.exec(this.#text)?.[1])
    return { code, text: this.#text.replace(PROMPT, '\n').trim() }
  }

  /** Ends the shell and what it has started in the background. */
  async close(): Promise<void> {
    if (this.#over) return
    this.#shell.stdin?.write('\u0003\nkill $(jobs -p) 2>/dev/null; wait; exit\n')
    const late = setTimeout(() => this.#shell.kill('SIGKILL'), 20_000)
    await this.#ended
    clearTimeout(late)
    // A program on the full screen, of a test that failed, outlives its terminal.
    for (const name of existsSync('/proc') ? readdirSync('/proc') : []) {
      if (/^\d+$/.test(name) && sessionOf(name) === this.#pid) process.kill(Number(name), 'SIGKILL')
    }
  }
}

/** The session of a process, by the pid of its leader. */
function sessionOf(pid: string): number {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[3])
  } catch {
    return 0 // it has just ended
  }
}

/** Of a line that was written over its last state, as a terminal shows it. */
function shown(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(/[^\n]*\r\u001b\[K/g, '')
}
