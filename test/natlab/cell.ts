// One cell of the matrix: two homes behind two NATs, some rounds. In each, all NATs have forgotten everything, both
// listeners begin, up to three seconds apart, and one side writes with p2p-send as soon as both accept. A round is
// delivered if the receipt comes and the message lies in the other inbox once; refused if p2p-send says why it does not
// go and it does not go later either.

import { missing } from './lab.ts'
import { Scene, type Who } from './scene.ts'
import { pause, type Running, until } from '../peer.ts'
import type { Round } from './table.ts'

/** The side that does not write has periods of 300 s; a pair that early datagrams spoilt meets after the next silence. */
const PATIENCE_MS = 330_000

/** After a round in which that was in vain. */
const IMPATIENCE_MS = 15_000

/** Kinds whose IPv4 router gives every destination another port: of two of them the reason is told if it is known. */
const CHANGING = ['sym', 'cgnsym', 'fw6']

export const other = (who: Who): Who => (who === 'a' ? 'b' : 'a')

export class Rounds {
  readonly scene: Scene
  /** What ran or runs in this round. */
  readonly listeners = new Map<Who, Running>()
  #count = 0
  #hopeless = false

  constructor(scene: Scene) {
    this.scene = scene
    this.#countPackets()
  }

  /** Who writes in this round. */
  get from(): Who {
    return this.#count % 2 === 0 ? 'a' : 'b'
  }

  #countPackets(): void {
    const { lab } = this.scene
    for (const node of ['a', 'b'] as const) {
      lab.run(node, ['nft', 'add table inet count; add counter inet count begun; add chain inet count out { type filter hook output priority 0; }'])
      for (const size of [40, 776]) lab.run(node, ['nft', `add rule inet count out udp length ${size} counter name begun`])
    }
    for (const node of this.#routers) {
      // Behind the way that drops low TTLs: what still has one has come through.
      lab.run(node, ['nft', 'add table inet count; add counter inet count stray; add chain inet count in { type filter hook prerouting priority -400; }'])
      // A STUN server's answer is as long.
      lab.run(node, ['nft', `add rule inet count in iifname "wan" udp length 40 ip ttl < 64 ip saddr != ${lab.env['C1']} counter name stray`])
    }
  }

  get #routers(): ('na' | 'nb')[] {
    return this.scene.types[0] === 'same' ? ['na'] : ['na', 'nb']
  }

  /** Takes the count of these counters and sets them to 0. */
  #taken(nodes: readonly ('a' | 'b' | 'na' | 'nb')[], name: string): number {
    return nodes
      .map((node) => this.scene.lab.run(node, ['nft', 'reset', 'counter', 'inet', 'count', name]))
      .reduce((all, text) => all + Number(/packets (\d+)/.exec(text)?.[1] ?? 0), 0)
  }

  async listen(who: Who): Promise<Running> {
    const running = await this.scene.listen(who)
    this.listeners.set(who, running)
    return running
  }

  /** Everything forgotten, then both listeners, the second one so much later. */
  async begin(apartMs = Math.random() * 3000): Promise<void> {
    this.scene.lab.order('reset')
    this.#taken(['a', 'b'], 'begun')
    this.#taken(this.#routers, 'stray')
    const first = this.listen(this.from)
    await pause(apartMs)
    await Promise.all([first, this.listen(other(this.from))])
  }

  /** Both have a session. */
  async met(): Promise<void> {
    await Promise.all([...this.listeners.values()].map((each) => each.until('peer', ({ state }) => state === 'up', PATIENCE_MS)))
  }

  async end(): Promise<void> {
    await Promise.all([...this.listeners.values()].map((each) => each.stop()))
    this.listeners.clear()
    this.#count++
  }

  /** Writes, waits for what becomes of it, and looks into the other inbox. */
  async write(from = this.from, args: string[] = []): Promise<Round> {
    const text = `round ${this.#count}, ${Math.random()}`
    const { command, id } = await this.scene.sending(from, text, args)
    const begun = performance.now()
    return this.follow(from, id, text, begun, command)
  }

  /** What becomes of a message; `command`: the p2p-send that tells, if any. */
  async follow(from: Who, id: string, text: string, begun: number, command?: Running): Promise<Round> {
    await command?.ended
    const last = command?.records.at(-1)
    const reason = last?.['type'] === 'deferred' ? String(last['reason']) : undefined
    const told = (performance.now() - begun) / 1000
    const patience = this.#hopeless || reason === 'both-symmetric' ? IMPATIENCE_MS : PATIENCE_MS
    const gone = (): boolean => !this.scene.queued(from, id)
    const delivered = await until('the receipt', gone, patience).then(() => true, () => false)
    const seconds = last?.['type'] === 'delivered' ? Number(last['elapsed']) : (performance.now() - begun) / 1000
    const packets = this.#taken(['a', 'b'], 'begun')
    const strays = this.#taken(this.#routers, 'stray')
    const over = [...this.listeners.values()].flatMap((each) => each.of('peer')).find(({ state }) => state === 'up')?.['over']
    const common = { from, packets, strays, ...(typeof over === 'string' && { over }) }
    const there = this.scene.inbox(other(from)).filter((each) => each === text).length
    if (!delivered) this.#hopeless = true
    if (delivered && there === 1) return { ...common, outcome: 'delivered', seconds }
    if (!delivered && there === 0 && reason !== undefined) return { ...common, outcome: 'refused', seconds: told, reason }
    return { ...common, outcome: 'wrong', reason: `${delivered ? 'receipt' : 'no receipt'}, ${there} in the inbox` }
  }
}

/** So many rounds of a pair of kinds. */
export async function runPair(a: string, b: string, count: number): Promise<Round[]> {
  const rounds: Round[] = []
  await Scene.with(
    a,
    b,
    async (scene) => {
      if ([a, b].every((kind) => CHANGING.includes(kind))) await scene.explore()
      const each = new Rounds(scene)
      for (let i = 0; i < count; i++) {
        await each.begin()
        rounds.push(await each.write())
        await each.end()
      }
    },
    { calmMs: 0 },
  )
  return rounds
}

/** Why no cell can be run on this machine; undefined if it can. */
export function missingFor(name: string): string | undefined {
  return missing(...(name.includes('upnp') ? ['miniupnpd'] : []), 'python3')
}
