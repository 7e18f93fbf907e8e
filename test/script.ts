// Runs a test written as a script with its files in it (after txtar and testscript): test/scripts/NAME.txt. The built
// commands in dist/ come first in PATH; $WORK is a fresh folder, also the current one and $HOME. A line is
//
//   [NAME=VALUE ...] exec COMMAND...  a line of bash; must exit 0. `! exec` must not. `exec ... &` goes on behind
//   exit N                            the last exec exited N: put it after `? exec`, which takes any exit
//   stdout RE    stderr RE            what the last exec wrote matches (multi-line); `! stdout RE`: does not
//   stdin FILE                        standard input of the next exec (else it is empty)
//   env NAME=VALUE                    from here on
//   wait FILE RE                      until FILE, e.g. the output of a background command, matches (20 s)
//   stop [N]                          SIGTERM to the last background command, which then exits 0 (or N)
//   cmp A B                           the same bytes; A may be `stdout` or `stderr`
//   exists P...  mode P 0600          `! exists P`: is absent
//   skip-without PROGRAM              ends here, with a skip line, where PROGRAM is not installed
//
// A background command writes to $WORK/bg1.out and bg1.err, then bg2.out ... After the lines come files: `-- NAME --`.
// What looks like a record on standard output must be one of p2p-record(5).

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'

import { execa } from 'execa'

import { checkLines } from './records.ts'

const LINE_TIMEOUT_MS = 60_000
const WAIT_MS = 20_000

interface Script {
  lines: { number: number; text: string }[]
  files: Map<string, string>
}

/** Lines and files of a txtar text; comment lines (#) and blank ones are dropped. */
export function parseScript(text: string): Script {
  const script: Script = { lines: [], files: new Map() }
  let file: string | undefined
  for (const [at, line] of text.split('\n').entries()) {
    const name = /^-- (\S+) --$/.exec(line)?.[1]
    if (name !== undefined) {
      file = name
      script.files.set(name, '')
    } else if (file !== undefined) {
      script.files.set(file, `${script.files.get(file) ?? ''}${line}\n`)
    } else if (!/^\s*(?:#|$)/.test(line)) {
      script.lines.push({ number: at + 1, text: line.trim() })
    }
  }
  // split leaves an empty line behind the last line feed
  if (file !== undefined) script.files.set(file, (script.files.get(file) ?? '').replace(/\n$/, ''))
  return script
}

interface Background {
  child: PromiseLike<{ exitCode?: number; signal?: string }> & { kill(signal: NodeJS.Signals): boolean }
  name: string
}

class Runner {
  readonly #work: string
  readonly #env: Record<string, string>
  readonly #started: Background[] = []
  #input: string | undefined
  #last = { code: 0, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }

  constructor(work: string, bin: string) {
    this.#work = work
    this.#env = { WORK: work, HOME: work, TMPDIR: work, PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` }
  }

  /** False: the rest is skipped. Throws what is wrong. */
  async line(text: string): Promise<boolean> {
    const match = /^([!?] )?((?:[A-Za-z_]\w*=\S*\s+)*)(\S+)\s*(.*)$/.exec(text)
    if (match === null) throw new Error('not a line of a script')
    const [, mark = '', assignments = '', verb = '', rest = ''] = match
    const negated = mark === '! '
    const words = rest.split(/\s+/).filter((word) => word !== '')
    switch (verb) {
      case 'exec':
        await this.#exec(rest, assignments === '' ? '' : `export ${assignments}; `, mark.trim())
        break
      case 'exit':
        if (this.#last.code !== Number(rest)) throw new Error(`exit ${this.#last.code}, not ${rest}`)
        break
      case 'stdout':
      case 'stderr':
        if (new RegExp(rest, 'm').test(this.#last[verb].toString()) === negated) {
          throw new Error(`${verb} ${negated ? 'matches' : 'does not match'} ${rest}`)
        }
        break
      case 'stdin':
        this.#input = this.#path(rest)
        break
      case 'env': {
        const [, name = '', value = ''] = /^(\w+)=(.*)$/.exec(rest) ?? []
        this.#env[name] = value.replaceAll('$WORK', this.#work)
        break
      }
      case 'wait':
        await this.#wait(words[0] ?? '', rest.slice((words[0] ?? '').length).trim())
        break
      case 'stop':
        await this.#stop(Number(words[0] ?? 0))
        break
      case 'cmp':
        if (!this.#bytes(words[0] ?? '').equals(this.#bytes(words[1] ?? ''))) throw new Error(`${rest}: they differ`)
        break
      case 'exists':
        for (const path of words) {
          if (existsSync(this.#path(path)) === negated)
            throw new Error(`${path} ${negated ? 'exists' : 'does not exist'}`)
        }
        break
      case 'mode': {
        const mode = (statSync(this.#path(words[0] ?? '')).mode & 0o7777).toString(8).padStart(4, '0')
        if (mode !== words[1]) throw new Error(`mode ${mode}, not ${words[1]}`)
        break
      }
      case 'skip-without': {
        const found = await execa('bash', ['-c', 'command -v "$0"', rest], { reject: false })
        if (found.exitCode !== 0) console.log(`skip: ${rest}: not installed`)
        return found.exitCode === 0
      }
      default:
        throw new Error(`unknown line ${verb}`)
    }
    return true
  }

  /** Ends what still runs. */
  async close(): Promise<void> {
    for (const { child } of this.#started.splice(0)) {
      child.kill('SIGKILL')
      await child
    }
  }

  /** Throws if a background command printed a record that is not as documented. */
  check(): void {
    for (const name of this.#written().filter((file) => file.endsWith('.out'))) {
      checkLines(readFileSync(join(this.#work, name), 'utf8'), true)
    }
  }

  #written(): string[] {
    return readdirSync(this.#work).filter((name) => /^bg\d+\.(?:out|err)$/.test(name))
  }

  /** What the last exec and the background commands wrote, for a failure's report. */
  report(): string {
    const files = this.#written()
    const texts = files.map((name) => [name, readFileSync(join(this.#work, name), 'utf8')] as const)
    return [['stdout', this.#last.stdout.toString()], ['stderr', this.#last.stderr.toString()], ...texts]
      .filter(([, text]) => text !== '')
      .map(([name, text = '']) => `\n[${name}]\n${text.slice(0, 4000).trimEnd()}`)
      .join('')
  }

  async #exec(command: string, before: string, mark: string): Promise<void> {
    const behind = /^(.*\S)\s*&$/.exec(command)?.[1]
    const input = this.#input === undefined ? Buffer.alloc(0) : readFileSync(this.#input)
    this.#input = undefined
    const options = { cwd: this.#work, env: this.#env, extendEnv: false, reject: false } as const
    if (behind !== undefined) {
      const name = `bg${this.#started.length + 1}`
      // `exec`: the signal of `stop` must reach the command, not a shell around it
      const line = `${before}exec ${behind} >${name}.out 2>${name}.err`
      this.#started.push({ child: execa('bash', ['-c', line], { ...options, stdin: 'ignore' }), name })
      return
    }
    const done = await execa('bash', ['-c', before + command], {
      ...options,
      input,
      encoding: 'buffer',
      timeout: LINE_TIMEOUT_MS,
      stripFinalNewline: false,
    })
    const code = done.exitCode ?? (done.signal === undefined ? 255 : 128)
    this.#last = { code, stdout: Buffer.from(done.stdout), stderr: Buffer.from(done.stderr) }
    checkLines(this.#last.stdout.toString(), true)
    if (done.timedOut) throw new Error(`no end within ${LINE_TIMEOUT_MS / 1000} s`)
    if (mark === '' && code !== 0) throw new Error(`exit ${code}`)
    if (mark === '!' && code === 0) throw new Error('exit 0, but it should fail')
  }

  async #wait(file: string, pattern: string): Promise<void> {
    const until = performance.now() + WAIT_MS
    const found = (): boolean =>
      existsSync(this.#path(file)) && new RegExp(pattern, 'm').test(readFileSync(this.#path(file), 'utf8'))
    while (!found()) {
      if (performance.now() > until) throw new Error(`${file} does not come to match ${pattern}`)
      await new Promise((next) => setTimeout(next, 50))
    }
  }

  async #stop(expected: number): Promise<void> {
    const background = this.#started.pop()
    if (background === undefined) throw new Error('nothing runs behind')
    background.child.kill('SIGTERM')
    const done = await background.child
    if (done.exitCode !== expected)
      throw new Error(`${background.name} ended with ${done.exitCode ?? done.signal}, not ${expected}`)
  }

  #path(name: string): string {
    return resolve(this.#work, name.replaceAll('$WORK', this.#work))
  }

  #bytes(name: string): Buffer {
    return name === 'stdout' || name === 'stderr' ? this.#last[name] : readFileSync(this.#path(name))
  }
}

/** Runs one script in a fresh folder; throws an Error that shows the line, what was wrong and what was written. */
export async function runScript(path: string): Promise<void> {
  const script = parseScript(readFileSync(path, 'utf8'))
  const root = mkdtempSync(join(tmpdir(), 's-'))
  const [work, bin] = [join(root, 'w'), join(root, 'bin')]
  mkdirSync(work)
  mkdirSync(bin)
  linkCommands(bin)
  for (const [name, content] of script.files) {
    mkdirSync(dirname(join(work, name)), { recursive: true })
    writeFileSync(join(work, name), content)
    if (content.startsWith('#!')) chmodSync(join(work, name), 0o755)
  }
  const runner = new Runner(work, bin)
  try {
    for (const { number, text } of script.lines) {
      try {
        if (!(await runner.line(text))) break
      } catch (error) {
        throw new Error(
          `${path}:${number}: ${text}\n${error instanceof Error ? error.message : String(error)}${runner.report()}`,
        )
      }
    }
    await runner.close()
    runner.check()
  } finally {
    await runner.close()
    rmSync(root, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** The built commands under their names; a test of sources that were not built says so. */
function linkCommands(bin: string): void {
  const dist = resolve('dist')
  const bundles = existsSync(dist) ? readdirSync(dist).filter((name) => name.endsWith('.cjs')) : []
  if (bundles.length === 0) throw new Error('nothing is built: make all')
  for (const name of bundles) symlinkSync(join(dist, name), join(bin, name.slice(0, -4)))
  symlinkSync(process.execPath, join(bin, 'node')) // the one that runs the tests
}
