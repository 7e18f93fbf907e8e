// For tests that let the built commands talk to one another: people with homes in a temporary folder, their listeners
// and what those print, and what is on their disks afterwards. Everything is on 127.0.0.1; every process is ended by
// its id when the stage closes.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import * as assert from 'uvu/assert'

import { systemClock } from '../lib/base/clock.ts'
import { systemRandom } from '../lib/base/random.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { type Home, openHome, realDoors } from '../lib/disk/home.ts'
import { createIdentity } from '../lib/disk/identity.ts'
import { loadSelf } from '../lib/disk/self.ts'
import { importToken } from '../lib/disk/import.ts'
import { describe, openMessage, partContent } from '../lib/disk/inboxview.ts'
import { type Box, listMaildir } from '../lib/disk/maildir.ts'
import { LEFTOVER_MS } from '../lib/disk/staging.ts'
import { freePort } from '../lib/net/freeport.ts'
import { parseAddress } from '../lib/wire/address.ts'
import { parseToken } from '../lib/wire/token.ts'
import { argvOf, NEIGHBOURLESS, type Ran, runCommand, type RunOptions } from './command.ts'
import { checkRecord, type Rec, records } from './records.ts'

/** For things that happen in the end; busy machines are slow. */
const PATIENCE_MS = 60_000

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Resolves as soon as `happened` says so. */
export async function until(what: string, happened: () => boolean | Promise<boolean>, ms = PATIENCE_MS): Promise<void> {
  const end = performance.now() + ms
  while (!(await happened())) {
    if (performance.now() > end) throw new Error(`in vain waited for: ${what}`)
    await pause(20)
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** A port that is free now. */
export function port(): Promise<number> {
  return freePort(systemRandom)
}

/** A command that goes on behind, its records as they come. */
export class Running {
  readonly records: Rec[] = []
  err = ''
  out = ''
  readonly child: ChildProcess
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  #rest = ''
  #over = false
  #wrong: unknown

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#take(text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.err += text))
    this.ended = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        this.#over = true
        resolve({ code, signal })
      })
      child.on('error', () => resolve({ code: 127, signal: null }))
    })
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  get over(): boolean {
    return this.#over
  }

  #take(text: string): void {
    this.out += text
    this.#rest += text
    for (let end = this.#rest.indexOf('\n'); end >= 0; end = this.#rest.indexOf('\n')) {
      const line = this.#rest.slice(0, end)
      this.#rest = this.#rest.slice(end + 1)
      if (!line.startsWith('{')) continue
      const record = JSON.parse(line) as Rec
      this.records.push(record)
      try {
        checkRecord(record)
      } catch (error) {
        this.#wrong ??= error // told to whoever asks next: nobody catches what is thrown here
      }
    }
  }

  /** Throws if it printed a record that is not as documented. */
  check(): void {
    if (this.#wrong !== undefined) throw this.#wrong as Error
  }

  /** Records of one type so far. */
  of(type: string): Rec[] {
    return this.records.filter((record) => record['type'] === type)
  }

  /** The first record, past or to come, of this type that fits. */
  async until(type: string, fits: (record: Rec) => boolean = () => true, ms = PATIENCE_MS): Promise<Rec> {
    let found: Rec | undefined
    const look = (): boolean => {
      this.check()
      found = this.of(type).find(fits)
      if (found === undefined && this.#over) throw new Error(`ended before a record '${type}': ${this.out}${this.err}`)
      return found !== undefined
    }
    await until(`a record '${type}'; so far: ${this.out.slice(-2000)}${this.err}`, look, ms).catch((error: unknown) => {
      throw new Error(`no record '${type}': ${this.out.slice(-3000)}${this.err}`, { cause: error })
    })
    return found as Rec
  }

  /** Ends the process and tells how it went. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<{ code: number | null; signal: NodeJS.Signals | null; ms: number }> {
    const since = performance.now()
    if (!this.#over) this.child.kill(signal)
    return { ...(await this.ended), ms: performance.now() - since }
  }

  kill(): Promise<unknown> {
    return this.stop('SIGKILL')
  }
}

export interface StartOptions {
  home?: string
  env?: Record<string, string>
  cwd?: string
  /** Standard input: nothing without. */
  stdin?: 'pipe'
}

export interface PeerOptions {
  /** In the token, instead of 127.0.0.1 with the own port. */
  addr?: string[]
  /** Where the home lies, instead of the stage's folder. */
  home?: string
  /** Sees no network interface but loopback: no other way leads round a proxy. */
  alone?: boolean
  port?: number
}

/** A folder with people in it: a temporary one, or a given one, which stays. */
export class Stage {
  readonly dir: string
  readonly #stays: boolean
  readonly #running: Running[] = []
  readonly #closers: (() => Promise<unknown> | void)[] = []

  /** In a fresh folder of `parent`, or in `at`, which stays. */
  constructor(parent = tmpdir(), at?: string) {
    this.dir = at ?? mkdtempSync(join(parent, 'e-')) // short: the paths of sockets must fit
    this.#stays = at !== undefined
  }

  /** Runs `work` on a stage and takes everything away afterwards. */
  static async with(work: (stage: Stage) => Promise<void>): Promise<void> {
    const stage = new Stage()
    try {
      await work(stage)
    } catch (error) {
      stage.#report()
      throw error
    } finally {
      await stage.close()
    }
  }

  /** What the processes said, for whoever looks into a failure. */
  #report(): void {
    for (const running of this.#running) {
      const counts = new Map<unknown, number>()
      for (const { type } of running.records) counts.set(type, (counts.get(type) ?? 0) + 1)
      const telling = running.records.filter(({ type }) => type !== 'message' && type !== 'delivered' && type !== 'queued')
      console.log(`\n[${running.child.spawnargs.slice(1).join(' ')}] ${running.over ? 'over' : 'runs'} ${JSON.stringify([...counts])}`)
      console.log(telling.slice(-30).map((record) => JSON.stringify(record).slice(0, 300)).join('\n'))
      console.log(running.err.slice(-2000))
    }
  }

  /** It is over and was looked at: of thousands of processes nobody keeps the output. */
  forget(running: Running): void {
    const at = this.#running.indexOf(running)
    if (at >= 0) this.#running.splice(at, 1)
  }

  onClose(close: () => Promise<unknown> | void): void {
    this.#closers.unshift(close)
  }

  async close(): Promise<void> {
    await Promise.all(this.#running.map((running) => running.kill()))
    for (const close of this.#closers.splice(0)) await close()
    if (!this.#stays) rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 })
    for (const running of this.#running) running.check()
  }

  /** Somebody new, with an identity and an open door. */
  async peer(name: string, options: PeerOptions = {}): Promise<Peer> {
    const path = options.home ?? join(this.dir, name)
    const own = options.port ?? (await port())
    const addresses = (options.addr ?? ['127.0.0.1']).map((text) => parseAddress(text, own))
    const fields = { name, port: own, addresses, passphrase: undefined }
    const { home, self } = await createIdentity({ path, source: 'test' }, fields, nodeSuite, realDoors)
    return this.#enter(new Peer(this, name, home, self.key), options.alone !== false)
  }

  /** Somebody whose home is there. */
  async enter(name: string, alone = false): Promise<Peer> {
    const home = await openHome({ flag: join(this.dir, name), env: {} })
    return this.#enter(new Peer(this, name, home, (await loadSelf(home)).key), alone)
  }

  #enter(peer: Peer, alone: boolean): Peer {
    if (alone) peer.env['NODE_OPTIONS'] = `--require=${this.#loopbackOnly()}`
    return peer
  }

  /** Two people who have each other's tokens. */
  async pair(a: PeerOptions = {}, b: PeerOptions = {}): Promise<[Peer, Peer]> {
    const alice = await this.peer('alice', a)
    const bob = await this.peer('bob', b)
    await alice.meet(bob)
    return [alice, bob]
  }

  /** A program for node to load first that hides every interface but loopback. */
  #loopbackOnly(): string {
    const path = join(this.dir, 'loopback.cjs')
    writeFileSync(
      path,
      `const os = require('node:os')
const all = os.networkInterfaces
os.networkInterfaces = () => Object.fromEntries(Object.entries(all()).map(([name, list]) => [name, list.filter((a) => a.internal)]))
require('node:module').syncBuiltinESMExports()
`,
    )
    return path
  }

  start(command: string, args: string[], options: StartOptions = {}): Running {
    return this.startProgram([...argvOf(command), ...args], options)
  }

  /** Any program, by its name or path. */
  startProgram([program = '', ...args]: string[], options: StartOptions = {}): Running {
    const child = spawn(program, args, {
      env: {
        PATH: process.env['PATH'] ?? '',
        ...NEIGHBOURLESS,
        HOME: this.dir,
        TMPDIR: this.dir,
        ...(options.home !== undefined && { P2P_HOME: options.home }),
        ...options.env,
      },
      cwd: options.cwd ?? this.dir,
      stdio: [options.stdin ?? 'ignore', 'pipe', 'pipe'],
    })
    const running = new Running(child)
    this.#running.push(running)
    return running
  }
}

export interface Held {
  id: string
  from: string
  text: Uint8Array | undefined
  files: { name: string | undefined; bytes: Uint8Array }[]
}

/** One person: a home, and the commands run for it. */
export class Peer {
  readonly name: string
  readonly home: Home
  readonly key: string
  readonly env: Record<string, string> = {}
  readonly #stage: Stage

  constructor(stage: Stage, name: string, home: Home, key: string) {
    this.#stage = stage
    this.name = name
    this.home = home
    this.key = key
  }

  get path(): string {
    return this.home.path
  }

  at(...parts: string[]): string {
    return join(this.path, ...parts)
  }

  /** The own token as it is now. */
  token(): string {
    return readFileSync(this.at('token'), 'utf8').trim()
  }

  /** Takes another's token; a running listener does not hear of it. */
  async learn(other: Peer, name = other.name): Promise<void> {
    await importToken(this.home, nodeSuite, name, parseToken(other.token()))
  }

  async meet(...others: Peer[]): Promise<void> {
    for (const other of others) {
      await this.learn(other)
      await other.learn(this)
    }
  }

  run(command: string, args: string[] = [], options: RunOptions = {}): Promise<Ran> {
    return runCommand(command, args, { home: this.path, cwd: this.#stage.dir, ...options, env: { ...this.env, ...options.env } })
  }

  /** Runs a command that must do what it should; its records. */
  async good(command: string, args: string[] = [], options: RunOptions = {}): Promise<Rec[]> {
    const ran = await this.run(command, args, options)
    assert.is(ran.code, 0, `${command} ${args.join(' ')}: exit ${ran.code ?? ran.signal}: ${ran.err}${ran.out.slice(-500)}`)
    return ran.out.startsWith('{') ? records(ran.out) : []
  }

  /** Sends and expects the message to arrive at once; its id. */
  async send(to: string, args: string[] = [], options: RunOptions = {}): Promise<string> {
    const told = await this.good('p2p-send', [to, '-w', '60s', ...args], options)
    assert.equal(told.map((record) => record['type']), ['queued', 'delivered'], JSON.stringify(told))
    return String(told[0]?.['id'])
  }

  /** Queues without trying; its id. */
  async queue(to: string, args: string[] = [], options: RunOptions = {}): Promise<string> {
    const [queued] = await this.good('p2p-send', [to, '--queue-only', ...args], options)
    assert.is(queued?.['type'], 'queued')
    return String(queued?.['id'])
  }

  start(command: string, args: string[] = [], options: StartOptions = {}): Running {
    return this.#stage.start(command, args, { home: this.path, ...options, env: { ...this.env, ...options.env } })
  }

  /** The hash and size of what a command writes. */
  async hash(command: string, args: string[]): Promise<{ code: number | null; hash: string; size: number }> {
    const [program = '', ...before] = argvOf(command)
    const child = spawn(program, [...before, ...args], {
      env: { PATH: process.env['PATH'] ?? '', ...NEIGHBOURLESS, P2P_HOME: this.path, ...this.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const sum = createHash('sha256')
    let size = 0
    child.stdout.on('data', (bytes: Uint8Array) => {
      sum.update(bytes)
      size += bytes.length
    })
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
    return { code, hash: sum.digest('hex'), size }
  }

  /** A listener that accepts. */
  async listen(args: string[] = [], options: StartOptions = {}): Promise<Running> {
    const running = this.start('p2p-listen', ['--json', ...args], options)
    await running.until('listening')
    return running
  }

  /** Messages in a box, oldest first, with everything in them, read by the library. */
  async box(box: Box): Promise<Held[]> {
    const view = { home: this.home, nameOf: () => undefined }
    const held: Held[] = []
    for (const entry of await listMaildir(view.home, box)) {
      const message = await describe(view, entry, 'text')
      if (message === undefined) throw new Error(`${entry.path} vanished`)
      const { id = '', key = '' } = message.info
      const one: Held = { id, from: key, text: undefined, files: [] }
      await openMessage(view, message, async (mail) => {
        for (const part of mail.parts) {
          const pieces: Uint8Array[] = []
          for await (const piece of partContent(view.home, part)) pieces.push(piece.slice())
          const bytes = new Uint8Array(Buffer.concat(pieces))
          if (part.kind === 'file') one.files.push({ name: part.name, bytes })
          else one.text = bytes
        }
      })
      held.push(one)
    }
    return held
  }

  /** Ids in the inbox, oldest first, as p2p-inbox tells them. */
  async ids(): Promise<string[]> {
    const ran = await this.run('p2p-inbox', ['list', '--id'])
    assert.is(ran.code, 0, ran.err)
    return ran.out.split('\n').filter((line) => line !== '')
  }

  /** Ids that wait (or failed), as p2p-queue tells them. */
  async waiting(): Promise<string[]> {
    return (await this.good('p2p-queue', ['list'])).map((record) => String(record['id']))
  }

  /** Names in a directory of the home; none if there is none. */
  files(...parts: string[]): string[] {
    return existsSync(this.at(...parts)) ? readdirSync(this.at(...parts)) : []
  }

  /** As if the leftovers of killed processes were older than any process: the next sweep may take them. */
  age(): void {
    const long = new Date(systemClock.now() - 2 * LEFTOVER_MS)
    const folders = ['.', 'contacts', 'hello', 'lock', 'sent/tmp', 'seen.index']
    for (const key of this.files('queue').filter((name) => name !== 'clock')) {
      folders.push(...['tmp', 'body', 'opts', '.'].map((folder) => join('queue', key, folder)))
    }
    folders.push(...this.files('queue', 'stage').map((name) => join('queue', 'stage', name)))
    for (const folder of folders) {
      for (const name of this.files(folder)) if (!name.endsWith('.lock')) utimesSync(this.at(folder, name), long, long)
    }
  }

  /** What is not as it should be when nothing is under way: stray files, or copies that say "not delivered". */
  strays(): string[] {
    const found: string[] = []
    const expectNone = (...parts: string[]): void => {
      for (const name of this.files(...parts)) found.push(join(...parts, name))
    }
    for (const key of this.files('part')) expectNone('part', key)
    expectNone('queue', 'stage')
    for (const key of this.files('queue').filter((name) => name !== 'clock' && name !== 'stage')) {
      for (const folder of ['tmp', 'new', 'hold', 'failed', 'body', 'opts']) expectNone('queue', key, folder)
    }
    expectNone('inbox', 'tmp')
    expectNone('sent', 'tmp')
    expectNone('hooks', 'pending')
    for (const name of this.files('sent', 'cur')) if (/:2,.*F/.test(name)) found.push(`sent/cur/${name}`)
    for (const name of this.files('sent', 'new')) found.push(`sent/new/${name}`)
    for (const name of readdirSync(this.path, { recursive: true }).map(String)) {
      if (/\.tmp\.|\.dead\./.test(name)) found.push(name)
    }
    return found
  }

  /** Every file of the home with its size, for "nothing was changed". */
  snapshot(): string[] {
    return readdirSync(this.path, { recursive: true })
      .map(String)
      .filter((name) => !name.startsWith('lock/'))
      .map((name) => `${name} ${statSync(this.at(name)).isFile() ? statSync(this.at(name)).size : ''}`)
      .sort()
  }

  /** A file to send. */
  file(name: string, bytes: Uint8Array | string): string {
    const folder = join(this.#stage.dir, `files-${this.name}`)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, name), bytes)
    return join(folder, name)
  }
}

/** Reproducible bytes that do not compress. */
export function noise(size: number, seed: number): Uint8Array {
  const out = Buffer.alloc(size)
  let block = createHash('sha512').update(`noise ${seed}`).digest()
  // A 64 KiB page, then rotated copies of it: fast, and any block that is lost, doubled or swapped changes the hash.
  const page = Buffer.alloc(Math.min(size, 65_536))
  for (let at = 0; at < page.length; at += 64) {
    block = createHash('sha512').update(block).digest()
    block.copy(page, at)
  }
  for (let at = 0, turn = 0; at < size; at += page.length, turn++) {
    page.copy(out, at)
    if (size - at >= 8) out.writeDoubleBE(turn * 1.0001 + seed, at)
  }
  return new Uint8Array(out.buffer, out.byteOffset, out.length)
}
