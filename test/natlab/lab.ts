// A laboratory of NATs for one test: natlab.sh beside this file, made and removed again, and programs run at its nodes.
// Everything is in namespaces of its own; needs root and iproute2, nftables, conntrack.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('natlab.sh', import.meta.url))
const TSX = import.meta.resolve('tsx')

let count = 0

/** Why there can be no laboratory on this machine; undefined if there can. Test files print it as `skip: natlab: ...`. */
export function missing(...programs: string[]): string | undefined {
  if (process.platform !== 'linux') return 'namespaces are a thing of Linux'
  if (process.getuid?.() !== 0) return 'only root may make network namespaces'
  for (const program of ['ip', 'nft', 'conntrack', ...programs]) {
    if (spawnSync('sh', ['-c', 'command -v "$0"', program]).status !== 0) return `${program} is not installed`
  }
  const name = `p2p-probe-${process.pid}`
  const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' })
  spawnSync('ip', ['netns', 'del', name])
  return made.status === 0 ? undefined : `no network namespaces here: ${made.stderr.trim()}`
}

export type Node = 'a' | 'b' | 'c' | 'na' | 'nb' | 'ca' | 'cb' | 'inet'

export class Lab {
  readonly prefix: string
  /** What `natlab.sh env` says: A_EXT, B_LOCAL, C1 ... */
  env: Record<string, string> = {}
  readonly #children = new Set<ChildProcess>()

  constructor() {
    this.prefix = `p${process.pid}x${count++}`
  }

  /** `natlab.sh up`: two sides, or `same` and what both are behind. */
  static up(a: string, b: string, env: Record<string, string> = {}): Lab {
    const lab = new Lab()
    lab.#script(['up', a, b], env)
    for (const word of lab.#script(['env']).split(/\s+/)) {
      const at = word.indexOf('=')
      if (at > 0) lab.env[word.slice(0, at)] = word.slice(at + 1)
    }
    return lab
  }

  /** Runs an order of natlab.sh: loss, delay, newip, udptimeout, blockudp, reset. */
  order(...words: (string | number)[]): void {
    this.#script(words.map(String))
  }

  #script(words: string[], env: Record<string, string> = {}): string {
    const ran = spawnSync(SCRIPT, words, {
      encoding: 'utf8',
      env: { ...process.env, ...env, NATLAB: this.prefix },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    if (ran.status !== 0) throw new Error(`natlab.sh ${words.join(' ')}: ${ran.stderr}`)
    return ran.stdout
  }

  /** argv that runs a program at a node. */
  at(node: Node, argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', `${this.prefix}-${node}`, ...argv]
  }

  /** Runs a program at a node to its end; its standard output. Throws unless it exits with `code`. */
  run(node: Node, argv: readonly string[], { env = process.env, code = 0 } = {}): string {
    const [program = '', ...rest] = this.at(node, argv)
    const ran = spawnSync(program, rest, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] })
    if (ran.status !== code) throw new Error(`${argv.join(' ')} at ${node}: ${ran.status} ${ran.stdout} ${ran.stderr}`)
    return ran.stdout
  }

  /** Starts a program at a node; what still runs ends with the laboratory. */
  start(node: Node, argv: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
    const [program = '', ...rest] = this.at(node, argv)
    const child = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#children.add(child)
    child.on('close', () => this.#children.delete(child))
    return child
  }

  /** argv of a script of this folder. */
  script(name: string, ...words: (string | number)[]): string[] {
    return [process.execPath, '--import', TSX, fileURLToPath(new URL(name, import.meta.url)), ...words.map(String)]
  }

  down(): void {
    for (const child of this.#children) child.kill('SIGKILL')
    this.#script(['down'])
  }
}

/** What a started program says, until a line of it fits. */
export function line(child: ChildProcess, fits: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let [out, err] = ['', '']
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text))
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      out += text
      const found = out.split('\n').find((each) => fits.test(each))
      if (found !== undefined) resolve(found)
    })
    child.on('close', () => reject(new Error(`ended without ${String(fits)}: ${out} ${err}`)))
  })
}
