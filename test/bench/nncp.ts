// Our closest relative, nncp 8: files are enqueued encrypted and durable (nncp-file), carried to the other node's spool
// (nncp-call to nncp-daemon) and unpacked durably there (nncp-toss). Two nodes that know each other, on loopback.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

import { port, until } from '../peer.ts'
import { missing, timed, type Took } from './measure.ts'

/** nncp-call stays on the line so long after the last packet, in whole seconds: the least it can do. */
export const DEADLINE_S = 1

const PUBLIC = ['id', 'exchpub', 'signpub', 'noisepub']

type Keys = Record<string, string>

/** The program that is not installed, if any. */
export function missingNncp(): string | undefined {
  return missing('nncp-cfgnew', 'nncp-file', 'nncp-call', 'nncp-daemon', 'nncp-toss')
}

function newKeys(): Keys {
  const text = execFileSync('nncp-cfgnew', ['-nocomments'], { encoding: 'utf8' })
  return Object.fromEntries([...text.matchAll(/^\s+(\w+): ([A-Z2-7]{40,})$/gm)].map(([, name = '', key = '']) => [name, key]))
}

const publicOf = (keys: Keys): Keys => Object.fromEntries(PUBLIC.map((name) => [name, keys[name] ?? '']))

export class Nncp {
  readonly #dir: string
  readonly #port: number
  #daemon: ChildProcess | undefined
  #count = 0

  constructor(dir: string, tcpPort: number) {
    this.#dir = dir
    this.#port = tcpPort
  }

  /** Two nodes in `dir`, the second with its daemon running. */
  static async start(dir: string): Promise<Nncp> {
    const nncp = new Nncp(dir, await port())
    const [ours, theirs] = [newKeys(), newKeys()]
    nncp.#node('a', ours, theirs, { addrs: { lo: `127.0.0.1:${nncp.#port}` } })
    nncp.#node('b', theirs, ours, { incoming: join(dir, 'b', 'in') })
    writeFileSync(join(dir, 'text'), 'one line of text, as a message would be\n')
    const daemon = spawn('nncp-daemon', ['-quiet', '-cfg', nncp.#config('b'), '-bind', `127.0.0.1:${nncp.#port}`], {
      stdio: 'ignore',
    })
    nncp.#daemon = daemon
    await until('nncp-daemon', () => answers(nncp.#port))
    return nncp
  }

  stop(): void {
    this.#daemon?.kill()
  }

  #config(name: string): string {
    return join(this.#dir, `${name}.hjson`)
  }

  #node(name: string, own: Keys, other: Keys, extra: object): void {
    mkdirSync(join(this.#dir, name, 'in'), { recursive: true })
    mkdirSync(join(this.#dir, name, 'spool'))
    const config = {
      spool: join(this.#dir, name, 'spool'),
      log: join(this.#dir, name, 'log'),
      self: own,
      neigh: { self: publicOf(own), other: { ...publicOf(other), onlinedeadline: DEADLINE_S, ...extra } },
    }
    writeFileSync(this.#config(name), JSON.stringify(config)) // JSON is hjson
  }

  /** Enqueues one small file. */
  file(): Promise<Took> {
    this.#count += 1
    return timed(['nncp-file', '-quiet', '-cfg', this.#config('a'), join(this.#dir, 'text'), `other:m${this.#count}`])
  }

  /** Carries all that is enqueued; the deadline is in the time. */
  call(): Promise<Took> {
    return timed(['nncp-call', '-quiet', '-tx', '-cfg', this.#config('a'), 'other'])
  }

  /** Unpacks all that was carried. */
  toss(): Promise<Took> {
    return timed(['nncp-toss', '-quiet', '-cfg', this.#config('b')])
  }

  /** Files that were unpacked so far. */
  arrived(): number {
    return readdirSync(join(this.#dir, 'b', 'in')).length
  }
}

function answers(tcpPort: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(tcpPort, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
