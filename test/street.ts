// People with homes on disk and a real door each, called over connections in memory: for tests of who is let in. A call
// ends at once either way: with a link, or when the door has begun to be silent.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'

import * as assert from 'uvu/assert'

import { systemClock } from '../lib/base/clock.ts'
import { systemRandom } from '../lib/base/random.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import type { PrivateKey } from '../lib/crypto/suite.ts'
import { Station, type StationEvents } from '../lib/delivery/station.ts'
import { Config } from '../lib/disk/config.ts'
import type { Files } from '../lib/disk/files.ts'
import { type Home, openHome, realDoors } from '../lib/disk/home.ts'
import { createIdentity, loadTransportKeys, signInvite } from '../lib/disk/identity.ts'
import { loadSelf, type Self } from '../lib/disk/self.ts'
import { openSeed } from '../lib/disk/identityfile.ts'
import { giveInvite } from '../lib/disk/invites.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { serve } from '../lib/net/accept.ts'
import { dial } from '../lib/net/dial.ts'
import { type Occasion } from '../lib/net/greeting.ts'
import { Guard } from '../lib/net/guard.ts'
import type { Link } from '../lib/net/link.ts'
import type { ByteStream } from '../lib/net/stream.ts'
import { KIND } from '../lib/wire/hello.ts'
import { inviteOf, inviteProof } from '../lib/wire/invite.ts'
import { encodeToken, parseToken, type Token, type TokenFields } from '../lib/wire/token.ts'
import { type MemoryStream, pipe, stamp } from './netkit.ts'

export interface Neighbour {
  home: Home
  self: Self
  /** Signs as this person. */
  sign: (change?: Partial<TokenFields>) => Promise<Token>
}

/** Runs `work` with people who have a home each. */
export async function withStreet(work: (enter: (name: string) => Promise<Neighbour>) => Promise<void>): Promise<void> {
  const root = await mkdtemp(`${tmpdir()}/p2p-street-`)
  let count = 0
  try {
    await work(async (name) => {
      const port = 22_000 + count++
      const addresses = [{ host: '192.0.2.7', port, tcp: true, udp: true }]
      const fields = { name, port, addresses, passphrase: undefined }
      const { home, self } = await createIdentity({ path: `${root}/${name}${port}`, source: 'test' }, fields, nodeSuite, realDoors)
      const { sign } = await import('../lib/crypto/ed25519.ts')
      const seed = await openSeed(home, () => assert.unreachable() as never)
      return {
        home,
        self,
        sign: async (change = {}) => encodeToken({ ...(await loadSelf(home)).token, ...change }, (message) => sign(message, seed)),
      }
    })
  } finally {
    await rm(root, { recursive: true, maxRetries: 5 })
  }
}

/** An invite of this person, as it is handed over. */
export async function inviteFrom({ home }: Neighbour, name: string, seconds = 3600): Promise<Token> {
  const seed = await openSeed(home, () => assert.unreachable() as never)
  const { invite } = await giveInvite(home, name, Math.floor(systemClock.now() / 1000 + seconds))
  return parseToken(await signInvite(home, seed, invite))
}

/** Calling with this invite. */
export function byInvite(from: Neighbour, invite: Token, secret = inviteOf(invite)?.secret): Occasion {
  assert.ok(secret)
  const { identity, transport } = from.self.token
  return { kind: KIND.INVITE, prove: (ephemeral) => inviteProof(nodeSuite, secret, { ephemeral, identity, transport }) }
}

export interface DoorOptions {
  files?: Files
  requests?: boolean
  events?: StationEvents
}

/** A door that is open for some calls. */
export class OpenDoor {
  readonly station: Station
  readonly faults: unknown[] = []
  readonly #guard: Guard<ByteStream>
  #meet: (stream: ByteStream) => void = () => undefined
  #faded: () => void = () => undefined

  private constructor(station: Station) {
    this.station = station
    this.#guard = new Guard<ByteStream>(systemClock, systemRandom)
    const drain = this.#guard.drain.bind(this.#guard)
    this.#guard.drain = (item, ip) => {
      this.#faded()
      return drain(item, ip)
    }
    this.#guard.hello = () => 0
    this.#guard.unknown = () => true
  }

  static async of({ home }: Neighbour, options: DoorOptions = {}): Promise<OpenDoor> {
    const doors = { ...realDoors, ...(options.files !== undefined && { files: options.files }) }
    const opened = await openHome({ flag: home.path, env: {} }, doors)
    const config = new Config({ file: new Map([['requests', options.requests === true]]) })
    const station = await Station.open(opened, await loadKeyring(opened), { config, ...(options.events && { events: options.events }) })
    const door = new OpenDoor(station)
    await serve({
      suite: nodeSuite,
      clock: systemClock,
      random: systemRandom,
      guard: door.#guard,
      responder: station.responder(),
      port: 1,
      hosts: ['192.0.2.1'],
      onLink: (link) => link.close(),
      onFault: (error) => door.faults.push(error),
      listen: async (at, onStream) => {
        door.#meet = onStream
        return { ...at, close: async () => {} }
      },
    })
    return door
  }

  close(): Promise<void> {
    return this.station.close()
  }

  /** The link, or undefined if there was silence: then not a byte was written. `ip`: where the call comes from. */
  async call(
    from: Neighbour,
    occasion: Occasion = { kind: KIND.CONTACT },
    change: { to?: Token; token?: Uint8Array; seq?: bigint; identity?: Uint8Array; ip?: string; key?: PrivateKey } = {},
  ): Promise<Link | undefined> {
    const self = await loadSelf(from.home)
    const key = change.key ?? (await loadTransportKeys(from.home, nodeSuite))[0]
    const to = change.to ?? this.station.keyring.self.token
    assert.ok(key)
    const silent = new AbortController()
    this.#faded = () => silent.abort()
    let far: MemoryStream | undefined
    const outcome = await dial({
      suite: nodeSuite,
      random: systemRandom,
      clock: systemClock,
      self: { identity: change.identity ?? self.identity, transportKey: key, seq: change.seq ?? self.token.seq, token: change.token ?? self.token.bytes },
      peer: { identity: to.identity, transport: to.transport },
      seqHeld: to.seq,
      occasion,
      addresses: [{ host: '198.51.100.1', port: 1, tcp: true, udp: false }],
      stamp,
      timeoutMs: 60_000,
      signal: silent.signal,
      connect: async () => {
        const [near, other] = pipe(systemClock, { ip: change.ip ?? '192.0.2.7', port: 4000 })
        far = other
        this.#meet(other)
        return near
      },
    })
    if ('link' in outcome) return outcome.link
    assert.is(far?.written, 0)
    far?.destroy()
    return undefined
  }
}

/** A home whose files tell what was removed from it, and what of that a power cut would bring back. */
export function watchUnlinks(home: Home): { home: Home; unlinked: () => number; loose: () => string[] } {
  let count = 0
  const loose = new Set<string>()
  const files: Home['files'] = {
    ...home.files,
    async unlink(path) {
      const was = await home.files.unlink(path)
      if (was && !path.includes('lock')) {
        count++
        loose.add(path)
      }
      return was
    },
    async syncDir(path) {
      await home.files.syncDir(path)
      for (const each of loose) if (dirname(each) === path) loose.delete(each)
    },
  }
  return { home: { ...home, files, at: (...parts) => home.at(...parts) }, unlinked: () => count, loose: () => [...loose] }
}
