// Which messages belong together: what later ones say about earlier ones (reactions, edits, recalls, receipts), and the tree of
// answers. Inbox and sent/ count together, for a conversation has two sides. Guarantee: only its own sender edits or
// recalls a message, only the two between whom it went react to it, and nothing that arrived is hidden or changed by it.

import { isId } from '../wire/mailtext.ts'
import { EDITED } from '../wire/mail.ts'
import type { MessageInfo, Reaction } from '../wire/record.ts'
import { describe, type Depth, type Message, type View } from './inboxview.ts'
import { type Box, listMaildir, type MailEntry } from './maildir.ts'
import { digestOf, digestsOf, isSaying, type Digest } from './mailindex.ts'

/** KEYs of who wrote a message and, of an own one, who it went to. */
type Parties = Pick<MessageInfo, 'key' | 'toKey'>

export interface Node {
  entry: MailEntry
  digest: Digest
}

/** A message in its thread, `depth` answers below the first. */
export interface Placed extends Node {
  depth: number
}

/** Levels of a thread that are told apart: a tree that a peer made deeper shows flat from there. */
const DEPTH_MAX = 100
/** What is about a large message may have overtaken it: by less than this, in microseconds. */
const OVERTAKEN_US = 86_400_000_000n

export class Conversation {
  /** Names may be given anew. */
  view: View
  readonly #byId = new Map<string, Node>()
  /** By id of the message they are about, oldest first. */
  readonly #about = new Map<string, Node[]>()
  readonly #answers = new Map<string, Node[]>()
  /** Whom messages that are spoken of went between, by id. */
  readonly #parties = new Map<string, Parties>()
  /** By box and name of the entry. */
  readonly #byBase = new Map<string, Node>()
  /** Of both boxes, oldest first. */
  readonly nodes: Node[] = []

  private constructor(view: View) {
    this.view = view
  }

  /** All that is in inbox and sent/. */
  static read(view: View): Promise<Conversation> {
    return Conversation.#read(view)
  }

  /** Only what is said about messages of `since` (Unix us) or later: for fold(), and idsAbout() of what was folded. */
  static about(view: View, since: bigint): Promise<Conversation> {
    return Conversation.#read(view, since - OVERTAKEN_US, isSaying)
  }

  static async #read(view: View, since?: bigint, worth?: (line: string) => boolean): Promise<Conversation> {
    const all = new Conversation(view)
    const fresh: Node[] = []
    for (const box of ['inbox', 'sent'] as const) {
      const entries = await listMaildir(view.home, box, since)
      const wanted = { entries, worth, whole: since === undefined, describe: (entry: MailEntry) => describe(view, entry, 'parts') }
      const digests = await digestsOf(view.home, box, wanted)
      for (const entry of entries) {
        const digest = digests.get(entry.base)
        if (digest !== undefined) fresh.push({ entry, digest })
      }
    }
    fresh.sort((a, b) => (a.entry.time < b.entry.time ? -1 : a.entry.time > b.entry.time ? 1 : 0))
    for (const node of fresh) all.#add(node)
    for (const node of fresh) all.#answer(node)
    return all
  }

  #take(node: Node): void {
    const { id, target, reply } = node.digest
    if (id === undefined || !isId(id) || this.#byId.has(id)) return // a note to oneself is in both
    this.#byId.set(id, node)
    this.#parties.set(id, node.digest)
    if (target !== undefined) push(this.#about, target, node)
    else if (reply !== undefined) push(this.#answers, reply, node)
  }

  /** A mail that has come since; undefined if it is gone. */
  async add(entry: MailEntry): Promise<Node | undefined> {
    const known = this.#byBase.get(nameOf(entry))
    if (known !== undefined) return known
    const message = await describe(this.view, entry, 'parts')
    if (message === undefined) return undefined
    const node = { entry: message.entry, digest: digestOf(message.info) }
    this.#add(node)
    this.#answer(node)
    return node
  }

  /** What has come into a box or was renamed in it since it was last looked at: the entries as they are now. */
  async fresh(box: Box): Promise<MailEntry[]> {
    return (await listMaildir(this.view.home, box)).filter((entry) => this.#byBase.get(nameOf(entry))?.entry.path !== entry.path)
  }

  has(entry: MailEntry): boolean {
    return this.#byBase.has(nameOf(entry))
  }

  #add(node: Node): void {
    this.nodes.push(node)
    this.#byBase.set(nameOf(node.entry), node)
    this.#take(node)
  }

  /** What somebody says of a message of others is an answer like any. */
  #answer(node: Node): void {
    const { target, id } = node.digest
    if (target !== undefined && this.#byId.get(id ?? '') === node && !this.isAbout(node.digest)) push(this.#answers, target, node)
  }

  /** True if this message says something about another one that is there, and may. */
  isAbout({ target, type, key }: Digest): boolean {
    const about = this.#parties.get(target ?? '')
    if (about === undefined || key === undefined) return false
    if (type === 'receipt') return sameKey(about.toKey, key)
    return type === 'reaction' ? this.#mayReact(about, key) : sameKey(about.key, key)
  }

  /** The ids of the messages that say something about this one. */
  idsAbout(id: string): string[] {
    return (this.#about.get(id) ?? []).filter(({ digest }) => this.isAbout(digest)).map(({ digest }) => digest.id as string)
  }

  #mayReact({ key, toKey }: Parties, by: string | undefined): boolean {
    const { self } = this.view
    return by !== undefined && [key, toKey, self].some((party) => sameKey(party, by))
  }

  /** Adds to a message what later ones say about it: the latest edit, a recall, the latest reaction of each, its reading. */
  async fold(info: MessageInfo): Promise<void> {
    if (info.id !== undefined) this.#parties.set(info.id, info)
    const reactions = new Map<string, Reaction>()
    for (const { entry, digest } of this.#about.get(info.id ?? '') ?? []) {
      if (!this.isAbout(digest)) continue
      const said = (await describe(this.view, entry, 'text'))?.info
      if (said === undefined || said.id !== digest.id || said.key === undefined || !sameKey(digest.key, said.key)) continue
      const { id = '', from, key, created } = said
      if (digest.type === 'edit' && said.edit === info.id && later(info.edited, created)) {
        const subject = said.subject?.startsWith(EDITED) === true ? said.subject.slice(EDITED.length) : said.subject
        info.edited = { id, created, subject, text: said.text }
      } else if (digest.type === 'receipt' && said.receipt === info.id) {
        info.read ??= created
      } else if (digest.type === 'recall' && said.recall === info.id) {
        info.recalled = { id, created }
      } else if (digest.type === 'reaction' && said.reaction !== undefined && later(reactions.get(key), created)) {
        reactions.set(key, { id, from, key, reaction: said.reaction, created })
      }
    }
    const left = [...reactions.values()].filter(({ reaction }) => reaction !== '')
    if (left.length > 0) info.reactions = left
  }

  /** The whole thread that this message is in, each answer below what it answers, oldest first. */
  thread(id: string): Placed[] {
    let top = this.#byId.get(id)
    const above = new Set<string>([id])
    for (let up = top; up !== undefined; ) {
      const parent: string | undefined = up.digest.target ?? up.digest.reply
      top = up
      up = parent === undefined || above.has(parent) ? undefined : this.#byId.get(parent)
      if (up !== undefined) above.add(parent as string)
    }
    if (top === undefined) return []
    // Answers to a message that is not there any more still belong together.
    const lost = top.digest.target === undefined && top.digest.reply !== undefined && !above.has(top.digest.reply)
    const tops = lost ? (this.#answers.get(top.digest.reply as string) ?? [top]) : [top]
    const placed: Placed[] = []
    const done = new Set<string>()
    const stack = tops.map((node) => ({ ...node, depth: 0 })).reverse()
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { digest, depth } = next
      if (done.has(digest.id ?? '')) continue
      done.add(digest.id ?? '')
      placed.push(next)
      const below = this.#answers.get(digest.id ?? '') ?? []
      stack.push(...below.map((node) => ({ ...node, depth: Math.min(depth + 1, DEPTH_MAX) })).reverse())
    }
    return placed
  }

  /** Of a message that is in the inbox or in sent/. */
  message(node: Node, depth: Depth): Promise<Message | undefined> {
    return describe(this.view, node.entry, depth)
  }
}

function nameOf({ box, base }: MailEntry): string {
  return `${box}/${base}`
}

function push(map: Map<string, Node[]>, key: string, node: Node): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [node])
  else list.push(node)
}

/** Mail programs fold it. */
function sameKey(a: string | undefined, b: string): boolean {
  return a === b || a?.toLowerCase() === b.toLowerCase()
}

/** By the sender's own clock, in which its messages are in order; they may arrive in another. */
function later(than: { created?: number | undefined } | undefined, created: number | undefined): boolean {
  return than?.created === undefined || (created ?? 0) >= than.created
}
