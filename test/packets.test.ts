// Nobody is sent a packet uninvited. One machine in a network namespace of its own, whose kernel notes where each packet
// goes; every command in every mode runs there, with somebody it reaches, somebody who is away, and somebody known by a
// name. Allowed is what product.md 1 and the manuals say: addresses in the keyring, in the configuration and in argv;
// with `map`, `lan` and name look-ups on, the own router, the groups named in p2p-wire(7), and the resolver. With
// quiet_net nothing but the first. make packets: the same with more patience, beacons included.
// test timeout: 600 s

import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { argvOf } from './command.ts'
import { missing } from './natlab/lab.ts'
import { pause, type Peer, Stage, until } from './peer.ts'
import type { Rec } from './records.ts'

const ROUTER = '10.77.0.1'
const OWN = '10.77.0.2'
const BOB = '10.77.0.9'
const AWAY = '10.77.0.66' // nobody has it
const RESOLVER = '10.77.0.53'
const NAME = 'bob.example.org'

/** Where a packet went: `udp 10.77.0.1 5351`, `icmp ff02::2`. */
type Place = string

/** Two namespaces and a wire; what the first one sends is counted by destination. */
class Wire {
  readonly own = `p2p-own-${process.pid}`
  readonly far = `p2p-far-${process.pid}`
  readonly #resolv: string

  /** What goes out of TCP port `port` answers somebody. */
  constructor(stage: Stage, port: number) {
    this.#resolv = join(stage.dir, 'resolv.conf')
    writeFileSync(this.#resolv, `nameserver ${RESOLVER}\noptions timeout:1 attempts:1\n`)
    stage.onClose(() => {
      for (const name of [this.own, this.far]) spawnSync('ip', ['netns', 'del', name])
    })
    for (const line of [
      `netns add ${this.own}`, `netns add ${this.far}`,
      `link add eth0 netns ${this.own} type veth peer name eth0 netns ${this.far}`,
      ...[this.own, this.far].flatMap((name) => [`-n ${name} link set lo up`, `-n ${name} link set eth0 up`]),
      `-n ${this.own} addr add ${OWN}/24 dev eth0`, `-n ${this.own} addr add fd77::2/64 dev eth0 nodad`, `-n ${this.own} route add default via ${ROUTER}`,
      ...[BOB, ROUTER, RESOLVER].map((ip) => `-n ${this.far} addr add ${ip}/24 dev eth0`),
    ]) this.#good('ip', line.split(' '))
    const rules = `table inet seen {
      set four { type inet_proto . ipv4_addr . inet_service; size 65535; flags dynamic; }
      set six { type inet_proto . ipv6_addr . inet_service; size 65535; flags dynamic; }
      set other4 { type inet_proto . ipv4_addr; size 65535; flags dynamic; }
      set other6 { type inet_proto . ipv6_addr; size 65535; flags dynamic; }
      chain out { type filter hook output priority 0; policy accept;
        oif lo accept
        tcp sport ${port} accept
        meta l4proto { tcp, udp } add @four { meta l4proto . ip daddr . th dport }
        meta l4proto { tcp, udp } add @six { meta l4proto . ip6 daddr . th dport }
        meta l4proto != { tcp, udp, icmp, icmpv6, igmp } add @other4 { meta l4proto . ip daddr }
        meta l4proto != { tcp, udp, icmp, icmpv6, igmp } add @other6 { meta l4proto . ip6 daddr }
      }
    }`
    this.#good('ip', ['netns', 'exec', this.own, 'nft', rules])
  }

  #good(program: string, args: string[]): string {
    const ran = spawnSync(program, args, { encoding: 'utf8' })
    if (ran.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${ran.stderr}`)
    return ran.stdout
  }

  /** argv of a program there, with the resolver of this place. */
  at(name: string, argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', name, 'sh', '-c', `mount --bind ${this.#resolv} /etc/resolv.conf && exec "$@"`, 'sh', ...argv]
  }

  forget(): void {
    for (const set of ['four', 'six', 'other4', 'other6']) this.#good('ip', ['netns', 'exec', this.own, 'nft', 'flush', 'set', 'inet', 'seen', set])
  }

  /** Everywhere anything went since then. */
  seen(): Place[] {
    const places: Place[] = []
    for (const set of ['four', 'six', 'other4', 'other6']) {
      const told = JSON.parse(this.#good('ip', ['netns', 'exec', this.own, 'nft', '-j', 'list', 'set', 'inet', 'seen', set])) as {
        nftables: { set?: { elem?: unknown[] } }[]
      }
      for (const { set: found } of told.nftables) {
        for (const elem of found?.elem ?? []) {
          const { concat } = ((elem as { elem?: { val: unknown } }).elem?.val ?? elem) as { concat: unknown[] }
          places.push(concat.join(' '))
        }
      }
    }
    return places.sort()
  }
}

/** Multicast groups that the manuals name. */
function groups(): Set<string> {
  const folder = fileURLToPath(new URL('../man/', import.meta.url))
  const pages = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8')).join('\n')
  return new Set([...pages.matchAll(/\b(?:2(?:2[4-9]|3[0-9])(?:\.\d{1,3}){3}|ff0[1-8]:[0-9a-f:]+)\b/g)].map(([ip]) => ip))
}

/** `1.2.3.4 5` of `1.2.3.4:5`, `[::1]:5/tcp`. */
function placeOf(address: string): string {
  return address.replace(/\/\w+$/, '').replace(/^\[?(.*?)\]?:(\d+)$/, '$1 $2')
}

const FULL = process.env['PACKETS'] === 'full'

/** A wait, longer if there is time. */
const wait = (seconds: number): string => `${FULL ? 3 * seconds : seconds}s`
const LISTEN_MS = FULL ? 70_000 : 4000

interface Mode {
  name: string
  config: string
  /** Beyond keyring, config and argv. */
  router: boolean
  lan: boolean
  names: boolean
}

const MODES: Mode[] = [
  { name: 'as it comes', config: '', router: true, lan: true, names: true },
  { name: 'map and lan off', config: 'map = false\nlan = false\n', router: false, lan: false, names: true },
  { name: 'quiet_net', config: 'quiet_net = true\n', router: false, lan: false, names: false },
]

/** Option, arguments, and whom they name. */
const PUNCHES: [string, string[], string[]][] = [
  ['--status', ['--status'], []],
  ['--stun', ['dave', '--stun', '10.77.0.88:3478', '--timeout', wait(2)], ['10.77.0.88 3478']],
  ['--map', ['dave', '--map', '--timeout', wait(2)], [`${ROUTER} 5351`, `${ROUTER} 1900`]], // asked for
  ['--slot', ['dave', '--slot', '--timeout', wait(2)], []],
  ['--birthday', ['dave', '--birthday', '--timeout', wait(2)], [`${AWAY} *`]], // ports of that machine at random
]

const why = missing()
if (why !== undefined) console.log(`skip: packets: ${why}`)

test('every command in every mode sends packets only where it is told to', async () => {
  if (why !== undefined) return
  await Stage.with(async (stage) => {
    const bob = await stage.peer('bob', { addr: [BOB] }) // who tells of none of the other addresses that his machine has
    const dave = await stage.peer('dave', { addr: [AWAY], alone: false })
    const named = await stage.peer('named', { addr: [NAME], alone: false })
    const alice = await stage.peer('alice', { addr: [OWN], alone: false })
    await alice.meet(bob, dave, named)
    const wire = new Wire(stage, portOf(alice))
    const env = (home: string): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'], HOME: stage.dir, TMPDIR: stage.dir, P2P_HOME: home })
    const [program = '', ...rest] = wire.at(wire.far, [...argvOf('p2p-listen'), '-q'])
    const listener = spawn(program, rest, { env: { ...env(bob.path), ...bob.env, P2P_MAP: 'false', P2P_LAN: 'false' }, stdio: 'ignore' })
    stage.onClose(() => void listener.kill('SIGKILL'))
    await until('bob listens', () => bob.files().includes('listen.sock'))
    const allowedGroups = groups()
    let total = 0
    const sent = new Map<string, Place[]>()

    /** Runs something there; all that it sends has to be allowed. `more`: addresses in argv. */
    const check = async (mode: Mode, what: string, work: () => Promise<void> | void, more: string[] = []): Promise<Place[]> => {
      wire.forget()
      await work()
      const places = wire.seen()
      const contacts = (await alice.good('p2p-id', ['list', '--json'])) as Rec[]
      const keyring = contacts.flatMap((each) => [...((each['addresses'] as string[]) ?? []), ...((each['session_addresses'] as string[]) ?? [])])
      const hosts = new Set([...keyring.map(placeOf), ...more])
      const bad = places.filter((place) => {
        const [proto, ip = '', port] = place.split(' ')
        if (hosts.has(`${ip} ${port}`) || (proto === 'udp' && hosts.has(`${ip} *`))) return false
        if (ip === RESOLVER && port === '53') return !mode.names
        if (ip === ROUTER) return !mode.router || (proto === 'udp' && port !== '5351' && port !== '1900')
        if (allowedGroups.has(ip)) return !(ip === '239.255.255.250' ? mode.router && mode.lan : mode.lan)
        return true
      })
      assert.equal(bad, [], `${mode.name}: ${what}`)
      total++
      sent.set(`${mode.name}: ${what}`, places)
      return places
    }

    const run = (command: string, args: string[], { home = alice.path, input = '', seconds = 30 } = {}): void => {
      const [first = '', ...others] = wire.at(wire.own, [...argvOf(command), ...args])
      const ran = spawnSync(first, others, { env: env(home), input, timeout: seconds * 1000, encoding: 'utf8' })
      if (ran.status === 64 || ran.status === 70) throw new Error(`${command} ${args.join(' ')}: ${ran.status} ${ran.stderr}`)
    }

    const help = (await alice.run('p2p-punch', ['--help'])).out
    for (const mode of MODES) {
      writeFileSync(alice.at('config.toml'), mode.config, { mode: 0o600 })
      const silent: [string, string[], { home?: string; input?: string }?][] = [
        ['p2p-id', ['init', '--name', 'x', '--no-passphrase'], { home: join(stage.dir, `new ${mode.name}`) }],
        ...['show', 'list', 'token', 'requests', 'revoke'].map((verb): [string, string[]] => ['p2p-id', [verb]]),
        ['p2p-id', ['show', 'named']], ['p2p-id', ['verify', 'named']], ['p2p-id', ['rename', 'dave', 'david']], ['p2p-id', ['rename', 'david', 'dave']],
        ['p2p-id', ['block', 'dave']], ['p2p-id', ['unblock', 'dave']], ['p2p-id', ['add', 'named'], { input: named.token() }],
        ['p2p-id', ['invite', 'somebody']], ['p2p-id', ['export', '-o', join(stage.dir, `${mode.name}.age`)]], ['p2p-id', ['setup', 'systemd']],
        ['p2p-inbox', ['list']], ['p2p-queue', ['list']], ['p2p-queue', ['stat']], ['p2p', []],
        ['p2p-send', ['me', '-m', 'note']], ['p2p-send', ['named', '-n', '-m', 'dry']], ['p2p-send', ['dave', '--queue-only', '-m', 'later']],
        ['p2p-queue', ['hold', '--help']], ['p2p-queue', ['export', 'dave', '-o', join(stage.dir, `${mode.name}.bundle`)]], ['p2p-queue', ['drop', '--to', 'dave']],
      ]
      for (const [command, args, options] of silent) {
        const places = await check(mode, `${command} ${args.join(' ').replaceAll(stage.dir, '')}`, () => run(command, args, options))
        assert.equal(places, [], `${mode.name}: ${command} ${args.join(' ')} has nothing to send`)
      }
      await check(mode, 'p2p-id doctor NAME', () => run('p2p-id', ['doctor']))
      await check(mode, 'p2p-send bob', () => run('p2p-send', ['bob', '-m', 'hi', '-w', '20s']))
      await check(mode, 'p2p-send dave', () => run('p2p-send', ['dave', '-m', 'hi', '-w', wait(1)]))
      await check(mode, 'p2p-send named', () => run('p2p-send', ['named', '-m', 'hi', '-w', wait(1)]))
      await check(mode, 'p2p-send all', () => run('p2p-send', ['bob', 'dave', 'named', '-m', 'hi', '-w', wait(1)]))
      await check(mode, 'p2p-queue flush', () => run('p2p-queue', ['flush', '-w', wait(1)]))
      await check(mode, 'p2p-queue flush --linger', () => run('p2p-queue', ['flush', '-w', wait(1), '--linger', wait(2)]))
      await check(mode, 'p2p-pipe dave', () => run('p2p-pipe', ['dave', '--timeout', wait(1)]))
      await check(mode, 'p2p-punch bob', () => run('p2p-punch', ['bob', '--timeout', wait(5)]))
      await check(mode, 'p2p-punch dave', () => run('p2p-punch', ['dave', '--timeout', wait(2)]))
      await check(mode, 'p2p-punch named', () => run('p2p-punch', ['named', '--timeout', wait(2)]))
      // what p2p-punch can do beyond that
      for (const [option, args, more] of PUNCHES) {
        if (help.includes(option)) await check(mode, `p2p-punch ${option} NAME`, () => run('p2p-punch', args), more)
      }
      await check(mode, 'p2p-listen', async () => {
        const [first = '', ...others] = wire.at(wire.own, [...argvOf('p2p-listen'), '--json'])
        const child = spawn(first, others, { env: env(alice.path), stdio: ['ignore', 'pipe', 'inherit'] })
        await new Promise((resolve) => child.stdout.once('data', resolve))
        await pause(LISTEN_MS)
        run('p2p-send', ['bob', '-m', 'by the listener', '-w', '20s'])
        child.kill('SIGTERM')
        await new Promise((resolve) => child.once('close', resolve))
      })
    }
    const of = (mode: number, what: string): string => (sent.get(`${MODES[mode]?.name}: ${what}`) ?? ['nothing']).join(', ')
    // that it was watched: what must be sent was seen
    for (const mode of [0, 1, 2]) {
      assert.match(of(mode, 'p2p-send bob'), new RegExp(`${BOB} ${portOf(bob)}`))
      assert.match(of(mode, 'p2p-send dave'), new RegExp(AWAY))
      assert.match(of(mode, 'p2p-listen'), new RegExp(BOB))
    }
    for (const mode of [0, 1]) assert.match(of(mode, 'p2p-send named'), new RegExp(`${RESOLVER} 53`))
    assert.is(of(2, 'p2p-send named'), '')
    assert.match(of(0, 'p2p-listen'), new RegExp(`udp ${ROUTER} 5351`))
    console.log(`# ${total} calls; ${[...sent].filter(([, places]) => places.length > 0).map(([what, places]) => `${what} -> ${places.join(', ')}`).join('\n# ')}`)
  })
})

function portOf(peer: Peer): number {
  return Number(/"port":\s*(\d+)/.exec(readFileSync(peer.at('home.json'), 'utf8'))?.[1])
}

test.run()
