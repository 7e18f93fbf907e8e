// Rows of the matrix beside the pairs: what networks and people do to two who write to each other. Each is some rounds
// of its own; what one round is stands beside it.

import { pause } from '../peer.ts'
import { other, Rounds } from './cell.ts'
import { Scene, type SceneOptions, type Who } from './scene.ts'
import type { Round } from './table.ts'

interface Condition {
  readonly pair: readonly [string, string]
  readonly about: string
  /** In the laboratory, before the rounds. */
  readonly prepare?: (scene: Scene) => void
  readonly options?: SceneOptions
  /** Without: as in the pairs. */
  readonly round?: (rounds: Rounds) => Promise<Round>
  /** A new laboratory for every round. */
  readonly fresh?: true
}

const order = (...words: (string | number)[]) => (scene: Scene): void => scene.lab.order(...words)

async function plain(rounds: Rounds): Promise<Round> {
  await rounds.begin()
  return rounds.write()
}

/** The second listener comes at any moment of the first one's period. */
async function late(rounds: Rounds): Promise<Round> {
  await rounds.begin(5_000 + Math.random() * 95_000)
  return rounds.write(rounds.from, ['-w', '0'])
}

async function afterIdle(rounds: Rounds, ms: number): Promise<Round> {
  await rounds.begin()
  await rounds.met()
  await pause(ms)
  return rounds.write()
}

/** The listener of one side is killed as soon as the message is accepted, and started again. */
async function killed(rounds: Rounds, whose: (from: Who) => Who): Promise<Round> {
  const { from, scene } = rounds
  await rounds.begin()
  await rounds.met()
  const who = whose(from)
  const text = `killed, ${Math.random()}`
  const { command, id } = await scene.sending(from, text, ['-w', '0'])
  const begun = performance.now()
  await rounds.listeners.get(who)?.kill()
  await command.ended
  await pause(Math.random() * 2000)
  await rounds.listen(who)
  return rounds.follow(from, id, text, begun)
}

/** The router of one side gets another address while both have a session. */
async function moved(rounds: Rounds, tell: boolean): Promise<Round> {
  const { scene } = rounds
  await rounds.begin()
  await rounds.met()
  await pause(2000) // each knows the other's settings
  scene.lab.order('newip', 'b')
  if (tell) {
    scene.run('b', 'p2p-id', ['token', '--addr', '11.22.33.84'])
    scene.tell('b', 'a')
  }
  return rounds.write(rounds.from, ['-w', '60s'])
}

const ownNetwork: SceneOptions = { addresses: { a: ['192.168.1.2', '11.22.33.10'], b: ['192.168.1.3', '11.22.33.10'] } }

export const CONDITIONS: Readonly<Record<string, Condition>> = {
  'loss-1': { pair: ['cone', 'cone'], about: 'cone:cone, 1 % loss, 80 ms', prepare: (scene) => [order('delay', 20)(scene), order('loss', 1)(scene)] },
  'loss-5': { pair: ['cone', 'cone'], about: 'cone:cone, 5 % loss, 80 ms', prepare: (scene) => [order('delay', 20)(scene), order('loss', 5)(scene)] },
  'loss-20': { pair: ['cone', 'cone'], about: 'cone:cone, 20 % loss, 80 ms', prepare: (scene) => [order('delay', 20)(scene), order('loss', 20)(scene)] },
  'rtt-80': { pair: ['coneopen', 'coneopen'], about: 'coneopen:coneopen, round trip 80 ms', prepare: order('delay', 20) },
  'rtt-200': { pair: ['coneopen', 'coneopen'], about: 'coneopen:coneopen, round trip 200 ms', prepare: order('delay', 50) },
  blockudp: { pair: ['cone', 'cone'], about: 'cone:cone, UDP blocked on the way', prepare: order('blockudp', 'on') },
  'timeout-30': { pair: ['cone', 'cone'], about: 'cone:cone, NATs forget after 30 s, 60 s idle', prepare: order('udptimeout', 30), round: (rounds) => afterIdle(rounds, 60_000) },
  'idle-100': { pair: ['cone', 'cone'], about: 'cone:cone, 100 s idle', round: (rounds) => afterIdle(rounds, 100_000) },
  'late-cone': { pair: ['cone', 'cone'], about: 'cone:cone, the second comes 5 to 100 s after the first', round: late },
  'late-coneopen': { pair: ['coneopen', 'coneopen'], about: 'coneopen:coneopen, the second comes 5 to 100 s after the first', round: late },
  'newip-full': { pair: ['full', 'cone'], about: 'full:cone, cone gets another address during the session', round: (rounds) => moved(rounds, false), fresh: true },
  'newip-cone': { pair: ['cone', 'cone'], about: 'cone:cone, one gets another address, and its new token is told', round: (rounds) => moved(rounds, true), fresh: true },
  'kill-sender': { pair: ['cone', 'cone'], about: 'cone:cone, kill -9 of the sender’s listener', round: (rounds) => killed(rounds, (from) => from) },
  'kill-receiver': { pair: ['cone', 'cone'], about: 'cone:cone, kill -9 of the receiver’s listener', round: (rounds) => killed(rounds, other) },
  lan: { pair: ['same', 'cone'], about: 'both behind one cone, LAN addresses known', options: ownNetwork },
  hairpin: { pair: ['same', 'full'], about: 'both behind one full that loops back, outside addresses only', options: { env: { HAIRPIN: '1' } } },
  nohairpin: { pair: ['same', 'cone'], about: 'both behind one cone that does not loop back, outside addresses only' },
}

/** Every condition in words. */
export const ABOUT: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(CONDITIONS).map(([name, { about }]) => [name, about]),
)

/** So many rounds of a condition. */
export async function runCondition(name: string, count: number): Promise<Round[]> {
  const condition = CONDITIONS[name]
  if (condition === undefined) throw new Error(`no condition ${name}`)
  const { pair, prepare, options, round = plain, fresh } = condition
  const all: Round[] = []
  const labs = fresh === true ? count : 1
  for (let i = 0; i < labs; i++) {
    const work = async (scene: Scene): Promise<void> => {
      prepare?.(scene)
      const rounds = new Rounds(scene)
      for (let j = 0; j < count / labs; j++) {
        all.push(await round(rounds))
        await rounds.end()
      }
    }
    await Scene.with(...pair, work, { calmMs: 0, ...options })
  }
  return all
}
