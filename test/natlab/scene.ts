// Two people behind two NATs of a laboratory, with the built commands: homes, tokens, listeners and what those print.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { nodeSuite } from '../../lib/crypto/suite-node.ts'
import { openHome, realDoors } from '../../lib/disk/home.ts'
import { loadTransportKeys } from '../../lib/disk/identity.ts'
import { loadKeyring } from '../../lib/disk/keyring.ts'
import { PERIOD_MS, PERIOD_WAITING_MS, SILENCE_MS } from '../../lib/net/holes.ts'
import { holeOffset, rendezvousKey } from '../../lib/net/rendezvous.ts'
import { argvOf } from '../command.ts'
import { Running, until } from '../peer.ts'
import type { Rec } from '../records.ts'
import { Lab, type Node } from './lab.ts'

export type Who = 'a' | 'b'

/** Ports that the lab's `eim` translates, too. */
const PORT = 40_001

export interface SceneOptions {
  /** HAIRPIN=1 and the like, for natlab.sh. */
  env?: Record<string, string>
  /** Addresses in the tokens; those at which the lab's outside sees each, without. */
  addresses?: Partial<Record<Who, string[]>>
  /** No silence of the schedule for so long, as far as a period allows; 0: whatever comes. */
  calmMs?: number
}

export class Scene {
  lab: Lab
  readonly dir: string
  types: readonly [string, string]

  private constructor(lab: Lab, types: readonly [string, string]) {
    this.lab = lab
    this.types = types
    this.dir = mkdtempSync(join(tmpdir(), 'nl-'))
  }

  /** Runs `work` in a laboratory of these NATs, where a and b hold each other's tokens. */
  static async with(a: string, b: string, work: (scene: Scene) => Promise<void>, options: SceneOptions = {}): Promise<void> {
    const scene = new Scene(Lab.up(a, b, options.env), [a, b])
    try {
      await scene.#meet(options)
      await work(scene)
    } finally {
      scene.lab.down()
      rmSync(scene.dir, { recursive: true, force: true, maxRetries: 5 })
    }
  }

  /** Of both, unless they are behind one NAT, which has to tell them apart. */
  get port(): number {
    return PORT
  }

  #port(who: Who): number {
    return who === 'b' && this.types[0] === 'same' ? PORT + 1 : PORT
  }

  home(who: Who): string {
    return join(this.dir, who)
  }

  #type(who: Who): string {
    const [a, b] = this.types
    return who === 'a' && a !== 'same' ? a : b
  }

  /** Its IPv4 address outside, or IPv6 for fw6. */
  outside(who: Who): string {
    const { env } = this.lab
    const side = who.toUpperCase()
    return (this.#type(who) === 'fw6' ? env[`${side}_V6`] : env[`${side}_EXT`]) ?? ''
  }

  /** What a person there puts into the token: IPv4 with the port that a STUN server would see, IPv6 where there is. */
  addresses(who: Who): string[] {
    const [side, type] = [who.toUpperCase(), this.#type(who)]
    const { [`${side}_EXT`]: v4 = '', [`${side}_V6`]: v6 = '' } = this.lab.env
    const outer = type === 'eim' ? `:${this.#eimPort(who)}` : ''
    return [...(v6 === '' ? [] : [`[${v6}]`]), `${v4}${outer}`]
  }

  /** The lab's eim translates for good: what a STUN server would say stands in its map. */
  #eimPort(who: Who): string {
    const map = this.lab.run(who === 'a' ? 'na' : 'nb', ['nft', 'list', 'map', 'ip', 'nat', 'eim'])
    return new RegExp(`${this.#port(who)} : [0-9.]+ \\. (\\d+)`).exec(map)?.[1] ?? ''
  }

  /** Makes the two; again, should the pair be in its silence soon: two of three are not. */
  async #meet({ addresses, calmMs = 60_000 }: SceneOptions): Promise<void> {
    for (;;) {
      for (const who of ['a', 'b'] as const) {
        rmSync(this.home(who), { recursive: true, force: true })
        const listed = addresses?.[who] ?? this.addresses(who)
        const args = listed.flatMap((address) => ['--addr', address])
        this.run(who, 'p2p-id', ['init', '--name', who, '--no-passphrase', '--port', String(this.#port(who)), ...args])
      }
      this.tell('a', 'b')
      this.tell('b', 'a')
      if (calmMs === 0 || (await this.#isCalm(calmMs))) return
    }
  }

  /**
   * Both homes ask two servers outside how they are seen, now and whenever they listen, and their tokens say what their
   * routers do, as those of people who have a server would.
   */
  async explore(): Promise<void> {
    const { C1 = '' } = this.lab.env
    const servers = ['carol', 'dave'].map((name, i) => {
      const env = { PATH: process.env['PATH'] ?? '', HOME: this.dir, P2P_HOME: join(this.dir, name) }
      const port = PORT + 10 + i
      this.lab.run('c', [...argvOf('p2p-id'), 'init', '--name', name, '--no-passphrase', '--port', String(port)], { env })
      const listener = new Running(this.lab.start('c', [...argvOf('p2p-listen'), '--json', '--stun=any'], env))
      return { listener, address: `${C1}:${port}` }
    })
    for (const { listener } of servers) await listener.until('listening')
    for (const who of ['a', 'b'] as const) {
      const list = servers.map(({ address }) => `"${address}"`).join(', ')
      writeFileSync(join(this.home(who), 'config.toml'), `stun = [${list}]\n`, { mode: 0o600 })
      const listener = await this.listen(who)
      const known = (): boolean => this.records(who, 'p2p-punch', ['--status'])[0]?.['nat'] !== 'unknown'
      await until('what the router does', known, 30_000)
      this.run(who, 'p2p-id', ['token', ...this.addresses(who).flatMap((address) => ['--addr', address])])
      await listener.stop()
    }
    this.tell('a', 'b')
    this.tell('b', 'a')
  }

  /** Hands over the token of one to the other, by a friend. */
  tell(from: Who, to: Who): void {
    this.run(to, 'p2p-id', ['add', from, this.run(from, 'p2p-id', ['token']).trim()])
  }

  #env(who: Who): NodeJS.ProcessEnv {
    return { PATH: process.env['PATH'] ?? '', HOME: this.dir, P2P_HOME: this.home(who) }
  }

  /** Runs a command to its end; its standard output. Throws unless it exits with `code`. */
  run(who: Who, command: string, args: string[], code = 0): string {
    return this.lab.run(who, [...argvOf(command), ...args], { env: this.#env(who), code })
  }

  /** The records that a command prints. */
  records(who: Who, command: string, args: string[], code = 0): Rec[] {
    const out = this.run(who, command, ['--json', ...args], code)
    return out.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Rec)
  }

  start(who: Who, command: string, args: string[]): Running {
    return new Running(this.lab.start(who, [...argvOf(command), ...args], this.#env(who)))
  }

  async listen(who: Who): Promise<Running> {
    const running = this.start(who, 'p2p-listen', ['--json'])
    await running.until('listening')
    return running
  }

  /** Sends from one to the other; the outcome, its reason if any, and the seconds it took. */
  send(who: Who, text: string, args: string[] = []): { type: string; id: string; elapsed: number; reason: string } {
    const to = who === 'a' ? 'b' : 'a'
    const last = this.records(who, 'p2p-send', [to, '-m', text, ...args]).at(-1)
    const { type, id, elapsed = Infinity, reason = '' } = last as { type: string; id: string; elapsed?: number; reason?: string }
    return { type, id, elapsed, reason }
  }

  /** The same while other things go on; the command as it runs. */
  async sending(who: Who, text: string, args: string[] = []): Promise<{ command: Running; id: string }> {
    const command = this.start(who, 'p2p-send', ['--json', who === 'a' ? 'b' : 'a', '-m', text, ...args])
    const { id } = await command.until('queued')
    return { command, id: String(id) }
  }

  /** Texts in the inbox, oldest first. */
  inbox(who: Who): string[] {
    return this.records(who, 'p2p-inbox', ['list']).map((record) => String(record['text']))
  }

  /** Whether this message waits, seen on the disk. */
  queued(who: Who, id: string): boolean {
    const queue = join(this.home(who), 'queue')
    return readdirSync(queue, { recursive: true }).some((name) => String(name).endsWith(`.${id}`) && String(name).includes('/new/'))
  }

  /** Messages that wait. */
  waiting(who: Who): string[] {
    return this.records(who, 'p2p-queue', ['list']).map((record) => String(record['id']))
  }

  /** Whether the pair is in none of its silences, of either period, and will not be for `ms`. */
  async #isCalm(ms: number): Promise<boolean> {
    const home = await openHome({ flag: this.home('a'), env: {} }, realDoors)
    const keyring = await loadKeyring(home)
    const [key] = await loadTransportKeys(home, nodeSuite)
    const [peer] = keyring.all()
    if (key === undefined || peer === undefined) throw new Error('no contact')
    const self = { identity: keyring.self.identity, key }
    const offset = holeOffset(nodeSuite, rendezvousKey(nodeSuite, { self, peer }))
    return [PERIOD_MS, PERIOD_WAITING_MS].every((period) => {
      const now = Date.now()
      const left = period - SILENCE_MS - ((now + offset) % period)
      return left > Math.min(ms, period / 3)
    })
  }

  /** The same people behind other NATs; what ran is ended. */
  rebuild(a: string, b: string): void {
    this.lab.down()
    this.lab = Lab.up(a, b)
    this.types = [a, b]
  }

  /** A file of so many bytes that do not repeat. */
  file(name: string, size: number): string {
    const path = join(this.dir, name)
    writeFileSync(path, randomBytes(size))
    return path
  }

  /**
   * Counts openers of one side from now on: those that leave it, whatever their hops, and those that come to the router of
   * the other side. Marks have their size too, but are not sent before a session is idle.
   */
  openers(from: Who, to: Who): () => { left: number; arrived: number } {
    const counter = (node: Node, hook: string): (() => number) => {
      const name = `openers${from}`
      const rule = `udp length 40 ${hook === 'output' ? '' : 'iifname "wan"'} counter`
      const chain = `add table inet ${name}; add chain inet ${name} c { type filter hook ${hook} priority -400; }; add rule inet ${name} c ${rule}`
      this.lab.run(node, ['nft', chain])
      return () => Number(/packets (\d+)/.exec(this.lab.run(node, ['nft', 'list', 'table', 'inet', name]))?.[1])
    }
    const [left, arrived] = [counter(from, 'output'), counter(to === 'a' ? 'na' : 'nb', 'prerouting')]
    return () => ({ left: left(), arrived: arrived() })
  }

  /** A capture at a node; `lines` are tcpdump's. */
  capture(node: Node, filter: string, device = 'any'): { lines: string[]; stop: () => Promise<void> } {
    const child = this.lab.start(node, ['tcpdump', '-lnntq', '--immediate-mode', '-i', device, ...filter.split(' ')])
    const lines: string[] = []
    let rest = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n')
      rest = parts.pop() ?? ''
      lines.push(...parts)
    })
    return {
      lines,
      stop: async () => {
        child.kill('SIGINT')
        await new Promise((resolve) => child.on('close', resolve))
      },
    }
  }
}
