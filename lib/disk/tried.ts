// hello/KEY.tried: which addresses that a contact has told were called in vain, and which have ever answered
// (p2p-spool(5)). A contact may name addresses that are somebody else's: an address nobody ever answered at as this
// contact is called a few times a day and no more, whatever calls for it. Losing the file costs some tries.

import { fromUtf8, utf8 } from '../base/bytes.ts'
import { isCode } from '../base/fail.ts'
import { type Address, formatAddress } from '../wire/address.ts'
import { replaceFile } from './durable.ts'
import type { Home } from './home.ts'
import { withLock } from './lock.ts'

const TRIES_MAX = 6 // a day and address
const DAY_MS = 86_400_000
const ADDRESSES_MAX = 64 // a day and contact, that never answered: naming others gives no new tries
const ANSWERED_MAX = 64 // kept; the latest stay

interface Tried {
  /** `host:port` that the contact has answered at. */
  answered: string[]
  /** Unix ms of the calls within a day, by `host:port`. */
  tried: Map<string, number[]>
}

/** Those of the addresses that may be called now; each of them counts as called. */
export async function mayTry(home: Home, key: string, told: readonly Address[]): Promise<Address[]> {
  if (told.length === 0) return []
  // The file is replaced as a whole: looking takes no lock, and where nothing is to be counted that is all.
  const lately = choose(await load(home, key, home.clock.now()), told, home.clock.now())
  if (!lately.counted) return lately.good
  return alone(home, async () => {
    const now = home.clock.now()
    const tried = await load(home, key, now)
    const { good, counted } = choose(tried, told, now)
    if (counted) await store(home, key, tried)
    return good
  })
}

/** Which may be called, and whether that has changed what was tried. */
function choose({ answered, tried }: Tried, told: readonly Address[], now: number): { good: Address[]; counted: boolean } {
  let counted = false
  const good = told.filter((address) => {
    const text = formatAddress(address)
    if (answered.includes(text)) return true
    const times = tried.get(text)
    if (times === undefined ? tried.size >= ADDRESSES_MAX : times.length >= TRIES_MAX) return false
    tried.set(text, [...(times ?? []), now])
    counted = true
    return true
  })
  return { good, counted }
}

/** The contact has answered at these: they are called as often as there is reason to. */
export async function noteAnswered(home: Home, key: string, addresses: readonly Address[]): Promise<void> {
  const texts = addresses.map(formatAddress)
  const lately = await load(home, key, home.clock.now())
  if (texts.every((text) => lately.answered.includes(text))) return
  await alone(home, async () => {
    const { answered, tried } = await load(home, key, home.clock.now())
    const fresh = texts.filter((text) => !answered.includes(text))
    if (fresh.length === 0) return
    for (const text of fresh) tried.delete(text)
    await store(home, key, { answered: [...answered, ...fresh].slice(-ANSWERED_MAX), tried })
  })
}

const alone = <T>(home: Home, work: () => Promise<T>): Promise<T> => withLock(home, 'tried', work, { overtake: true })
const path = (home: Home, key: string): string => home.at('hello', `${key}.tried`)

/** What does not parse is as good as absent. */
async function load(home: Home, key: string, now: number): Promise<Tried> {
  const state: Tried = { answered: [], tried: new Map() }
  try {
    const found = JSON.parse(fromUtf8(await home.files.read(path(home, key)))) as { answered?: unknown; tried?: unknown }
    if (Array.isArray(found.answered)) state.answered = found.answered.filter((text) => typeof text === 'string')
    for (const [text, times] of Object.entries(found.tried ?? {})) {
      const recent = (times as unknown[]).filter((at) => typeof at === 'number' && Math.abs(now - at) < DAY_MS) as number[]
      if (recent.length > 0) state.tried.set(text, recent)
    }
  } catch (error) {
    if (isCode(error, 'EACCES', 'EIO')) throw error
  }
  return state
}

async function store(home: Home, key: string, { answered, tried }: Tried): Promise<void> {
  const text = JSON.stringify({ answered, tried: Object.fromEntries(tried) })
  await replaceFile(home.files, home.random, path(home, key), utf8(`${text}\n`))
}
