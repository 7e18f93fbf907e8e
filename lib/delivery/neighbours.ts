// Contacts in the networks that this machine is in: each side sends beacons that only its contacts recognise, and calls
// whoever it recognises. lib/wire/beacon.ts says what they look like, lib/net/multicast.ts where they go. A beacon counts
// only if it came from the very address that is sealed in it, so that none leads to another network.

import { hex } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { fraction } from '../base/random.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import { Bucket } from '../net/guard.ts'
import { isOnLink } from '../net/interfaces.ts'
import { Multicast } from '../net/multicast.ts'
import { rendezvousKey, slotOf, slotValue } from '../net/rendezvous.ts'
import type { Endpoint } from '../net/stream.ts'
import { acceptFromPeer, type Address } from '../wire/address.ts'
import { decodePlace, encodeBeacon, encodePlace, ENTRIES_MAX, type Entry, NONCE_SIZE, parseBeacon, TAG_SIZE } from '../wire/beacon.ts'
import type { Station } from './station.ts'

/** Between two beacons, and up to as much longer. */
const EVERY_MS = 30_000

/** A neighbour that was not heard for so long is somewhere else. */
const FRESH_MS = 5 * 60_000

/** A beacon's own clock may be off by so much: p2p-wire(7), BEACONS. */
const SKEW_S = 1200

/** At most so many beacons are looked at in a second: p2p-wire(7), LIMITS. */
const BEACONS = { rate: 50, burst: 50 } as const

const TAG = 'lan-tag'
const KEY = 'lan-key'
const NOTHING = new Uint8Array(0)

export interface NeighboursOptions {
  station: Station
  /** A contact was heard, for the first time in a while or at another address. */
  found: (key: string) => void
}

export class Neighbours {
  readonly #options: NeighboursOptions
  readonly #group = new Multicast((bytes, from) => this.#hear(bytes, from))
  readonly #budget: Bucket
  #contacts: { contact: Contact; secret: Uint8Array }[] = []
  /** By the tags of this slot and the two beside it. */
  #expected = new Map<string, { key: string; seal: () => Uint8Array }>()
  #slot = -1n
  readonly #heard = new Map<string, { address: Address; at: number; told: number }>()
  #running = false
  #cancel = (): void => undefined

  constructor(options: NeighboursOptions) {
    this.#options = options
    this.#budget = new Bucket(BEACONS, options.station.home.clock.monotonic())
  }

  /** Where the contact was heard not long ago. */
  of(key: string): Address | undefined {
    const heard = this.#heard.get(key)
    const { clock } = this.#options.station.home
    return heard !== undefined && clock.monotonic() - heard.at < FRESH_MS ? heard.address : undefined
  }

  /** Begins if the settings allow it; anew if the keyring, the settings or the networks are others now. */
  async start(): Promise<void> {
    this.stop()
    const { config } = this.#options.station
    if (!config.lan) return
    this.#running = true
    this.#learn()
    await this.#group.open()
    if (this.#running) this.#beat()
    else this.#group.close()
  }

  /** This machine is somewhere else now. */
  async moved(): Promise<void> {
    this.#heard.clear()
    if (this.#running) await this.start()
  }

  stop(): void {
    this.#running = false
    this.#cancel()
    this.#group.close()
  }

  #learn(): void {
    const { suite, keyring, ownKey } = this.#options.station
    const self = { identity: keyring.self.identity, key: ownKey }
    const welcome = keyring.all().filter(isWelcome)
    this.#contacts = welcome.map((contact) => ({ contact, secret: rendezvousKey(suite, { self, peer: contact }) }))
    this.#slot = -1n
  }

  /** The tags that contacts may send now. */
  #expect(): void {
    const { suite, home } = this.#options.station
    const slot = slotOf(home.clock.now())
    if (slot === this.#slot) return
    this.#slot = slot
    this.#expected = new Map()
    for (const { contact, secret } of this.#contacts) {
      for (const at of [slot - 1n, slot, slot + 1n]) {
        const tag = slotValue(suite, secret, TAG, at, contact.identity).subarray(0, TAG_SIZE)
        this.#expected.set(hex(tag), { key: contact.key, seal: () => slotValue(suite, secret, KEY, at, contact.identity) })
      }
    }
  }

  #beat(): void {
    const { clock, random } = this.#options.station.home
    for (const ip of this.#group.addresses) {
      const entries = this.#entries(ip)
      for (let at = 0; at < entries.length; at += ENTRIES_MAX) {
        this.#group.send(encodeBeacon(entries.slice(at, at + ENTRIES_MAX), random), ip)
      }
    }
    this.#cancel = clock.after(EVERY_MS * (1 + fraction(random)), () => this.#beat(), true)
  }

  /** One for each contact, saying that this home is at `ip`. */
  #entries(ip: string): Entry[] {
    const { suite, home, keyring } = this.#options.station
    const { identity } = keyring.self
    const now = home.clock.now()
    const slot = slotOf(now)
    const place = encodePlace({ ip, port: home.port, at: Math.floor(now / 1000) })
    return this.#contacts.map(({ secret }) => {
      const tag = slotValue(suite, secret, TAG, slot, identity).subarray(0, TAG_SIZE)
      const nonce = home.random.bytes(NONCE_SIZE)
      return { tag, nonce, sealed: suite.seal(slotValue(suite, secret, KEY, slot, identity), nonce, NOTHING, place) }
    })
  }

  #hear(bytes: Uint8Array, from: Endpoint): void {
    const { clock } = this.#options.station.home
    const now = clock.monotonic()
    if (!this.#running || this.#budget.delay(now) > 0) return
    this.#budget.spend(now)
    try {
      this.#expect()
      for (const entry of parseBeacon(bytes)) this.#recognise(entry, from)
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
    }
  }

  #recognise({ tag, nonce, sealed }: Entry, from: Endpoint): void {
    const { suite, home } = this.#options.station
    const expected = this.#expected.get(hex(tag))
    if (expected === undefined) return
    const { ip: host, port, at } = decodePlace(suite.open(expected.seal(), nonce, NOTHING, sealed))
    if (host !== from.ip || Math.abs(home.clock.now() / 1000 - at) > SKEW_S) return
    if (!acceptFromPeer({ host, port }, () => isOnLink(host))) return
    const { key } = expected
    const [now, before] = [home.clock.monotonic(), this.#heard.get(key)]
    const same = before?.address.host === host && before.address.port === port
    const news = !same || now - before.told > FRESH_MS
    this.#heard.set(key, { address: { host, port, tcp: true, udp: true }, at: now, told: news ? now : before.told })
    if (news) this.#options.found(key)
  }
}
