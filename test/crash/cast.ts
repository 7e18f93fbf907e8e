// Two people for the crash sweeps, alice who writes and bob who receives: their homes, put back to their first day as
// often as a scene is played, and the messages that alice sends, each of which can be told from every other.

import { cpSync, existsSync, readFileSync, rmSync, utimesSync } from 'node:fs'

import { utf8 } from '../../lib/base/bytes.ts'
import { nodeSuite } from '../../lib/crypto/suite-node.ts'
import { acceptAll } from '../../lib/disk/accept.ts'
import type { Contact } from '../../lib/disk/contact.ts'
import { type Keyring, loadKeyring } from '../../lib/disk/keyring.ts'
import { tryLock } from '../../lib/disk/lock.ts'
import { discard, stageBody } from '../../lib/disk/staging.ts'
import { noise, type Peer, Stage, until } from '../peer.ts'

/** big: over 10 MiB, so that it becomes a file of its own, and over the 16 MiB of a checkpoint. */
export type Kind = 'text' | 'three' | 'big'

export interface Letter {
  text: string | undefined
  files: { name: string; bytes: Uint8Array }[]
}

/** A lock without the note of its owner counts as dead at this age: lib/disk/lock.ts. */
const STALE_S = 11

export class Cast {
  readonly stage: Stage
  readonly alice: Peer
  readonly bob: Peer
  readonly #keyring: Keyring
  #serial = 0
  #big: Buffer | undefined

  private constructor(stage: Stage, alice: Peer, bob: Peer, keyring: Keyring) {
    this.stage = stage
    this.alice = alice
    this.bob = bob
    this.#keyring = keyring
  }

  /** Runs `work` with two people who know each other, and takes everything away afterwards. */
  static async with<T>(work: (cast: Cast) => Promise<T>): Promise<T> {
    const cast = await Cast.open()
    try {
      return await work(cast)
    } finally {
      await cast.stage.close()
    }
  }

  /** Whoever calls this closes the stage. */
  static async open(): Promise<Cast> {
    const stage = new Stage()
    try {
      const [alice, bob] = await stage.pair()
      for (const { path } of [alice, bob]) cpSync(path, `${path}.first`, { recursive: true })
      return new Cast(stage, alice, bob, await loadKeyring(alice.home))
    } catch (error) {
      await stage.close()
      throw error
    }
  }

  get #bob(): Contact {
    return this.#keyring.byKey(this.bob.key) as Contact
  }

  /** The home as it was when nothing had been sent. Nobody may be at work in it. */
  reset({ path }: Peer): void {
    rmSync(path, { recursive: true, force: true })
    cpSync(`${path}.first`, path, { recursive: true })
  }

  /** Something new to send. */
  letter(kind: Kind): Letter {
    const serial = ++this.#serial
    const file = (name: string, size: number): Letter['files'][number] => ({ name, bytes: noise(size, serial) })
    if (kind === 'text') return { text: `number ${serial}\nzwölf Boxkämpfer\n`, files: [] }
    if (kind === 'big') return { text: undefined, files: [{ name: 'big.bin', bytes: this.#bigOne(serial) }] }
    const files = [file('one.bin', 700), file('two.bin', 40_000), file('three.bin', 130_000)]
    return { text: `number ${serial}`, files }
  }

  /** No block of it is as it was for another number. The one before is worth nothing from then on: it is the same memory. */
  #bigOne(serial: number): Uint8Array {
    this.#big ??= Buffer.from(noise(17_500_000, 0))
    for (let at = 0; at < this.#big.length - 4; at += 4096) this.#big.writeUInt32BE(serial, at)
    return this.#big
  }

  /** The arguments of p2p-send for it. */
  argsOf({ text, files }: Letter): string[] {
    const paths = files.map(({ name, bytes }) => this.alice.file(name, bytes))
    return [...(text === undefined ? [] : ['-m', text]), ...paths.flatMap((path) => ['-a', path])]
  }

  /** Accepts a message to bob into alice's queue; its id. */
  async queue({ text, files }: Letter): Promise<string> {
    const { home } = this.alice
    const staged = await stageBody(home, nodeSuite, [
      ...(text === undefined ? [] : [{ type: 'text/plain', content: utf8(text) }]),
      ...files.map(({ name, bytes }) => ({ type: 'application/octet-stream', name, content: bytes })),
    ])
    const [queued] = await acceptAll(home, nodeSuite, this.#keyring.self, [{ to: this.#bob, staged, header: {} }])
    await discard(home, staged)
    return queued?.id ?? ''
  }
}

/**
 * As if two days had passed since the process died: its leftovers may be swept. Its locks look as if it had died just
 * now, unless it died before it had said that they are its own: such a lock is given up for its age alone.
 */
export function age(peer: Peer): void {
  peer.age()
  const then = Date.now() / 1000 - STALE_S
  for (const name of peer.files('lock').filter((lock) => lock.endsWith('.lock'))) {
    const note = peer.at('lock', name.replace(/lock$/, 'owner'))
    const known = existsSync(note) && readFileSync(note, 'utf8').endsWith('}')
    if (!known) utimesSync(peer.at('lock', name), then, then)
  }
}

/** What a listener of this process began as it ended may still hold a lock for a moment: here.ts. */
const STUCK_MS = 3000

/** What is in lock/ although nobody runs, but for locks that whoever wants them can have. */
export async function stuckLocks(peer: Peer): Promise<string[]> {
  const stuck: string[] = []
  for (const name of peer.files('lock').filter((lock) => lock.endsWith('.lock'))) {
    const free = async (): Promise<boolean> => {
      const held = await tryLock(peer.home, name.replace(/\.lock$/, ''))
      await held?.release()
      return held !== undefined
    }
    await until('a lock', free, STUCK_MS).catch(() => stuck.push(`stuck: lock/${name}`))
  }
  return [...stuck, ...peer.files('lock').map((name) => `lock/${name}`)]
}
