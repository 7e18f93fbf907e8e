// What was read from a TCP connection and not taken yet. It guarantees that somebody who has not shown who it is has two
// KiB read ahead and no more, whatever it sends, and that what nobody looks at needs no memory at all; a friend who sends
// much gets a few large buffers. It trusts nobody: who is what the floors above say.

const BUFFER = 512 * 1024 // bytes read from the system at once
const READ_AHEAD = 2 // buffers filled for a reader that is busy
const KEPT = 4 // buffers that are read into again: one that is read, one that is filled, and these
const MUCH = 16 * 1024 // bytes that came at once from somebody who sends much
const STRANGER = 1024 // bytes read at once from somebody who has not shown who it is: more than a hello
const STRANGER_AHEAD = 2 // such reads

/**
 * What strangers sent, and friends who send little, lies here until it is copied, at once: buffers of one's own for each
 * who is there and says nothing are a hundred times what they hold, and V8 looks for garbage as if they were full. What
 * nobody looks at is written over.
 */
let scratch: Buffer | undefined
let shared: Buffer | undefined
let abyss: Buffer | undefined

/**
 * The bytes of one connection, oldest first. The system reads into the same few buffers again and again: bytes that lie
 * in fresh memory each time cost twice as much, and another part for the garbage. Of a buffer only the pages are in
 * memory that ever had bytes. A stranger has no buffer, only a copy of the little that is read, and so has a friend
 * until much came at once.
 */
export class Reads {
  #chunks: Uint8Array[] = []
  #free: Uint8Array[] = []
  /** The buffer whose bytes the reader has. */
  #taken: Uint8Array | undefined
  #from: 'stranger' | 'friend' | 'nobody' = 'stranger'
  #much = false
  onChunk: () => void = () => undefined

  /** For a socket of node (`onread`). */
  readonly options = {
    buffer: (): Uint8Array => {
      if (this.#from === 'stranger') return (scratch ??= Buffer.allocUnsafeSlow(STRANGER))
      if (this.#from === 'nobody') return (abyss ??= Buffer.allocUnsafeSlow(BUFFER))
      if (!this.#much) return (shared ??= Buffer.allocUnsafeSlow(2 * MUCH))
      return this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER)
    },
    callback: (size: number, buffer: Uint8Array): boolean => {
      const bytes = new Uint8Array(buffer.buffer, 0, size)
      this.#much ||= buffer === shared && size >= MUCH
      this.push(buffer === scratch || buffer === shared ? bytes.slice() : bytes)
      return !this.full
    },
  }

  /** `chunk` is not copied. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.onChunk()
  }

  /** From the next read but one: the system may have been given a buffer already. */
  become(from: 'friend' | 'nobody'): void {
    this.#from = from
  }

  get #ahead(): number {
    if (this.#from === 'friend') return READ_AHEAD
    return this.#from === 'stranger' ? STRANGER_AHEAD : 1
  }

  get full(): boolean {
    return this.#chunks.length >= this.#ahead
  }

  /** Half of what there may be is taken. */
  get low(): boolean {
    return this.#from !== 'nobody' && this.#chunks.length < this.#ahead / 2
  }

  take(): Uint8Array | undefined {
    const chunk = this.#chunks.shift()
    if (chunk === undefined) return undefined
    this.#recycle()
    this.#taken = chunk
    return chunk
  }

  /** Puts some of what was taken last back in front. */
  putBack(bytes: Uint8Array): void {
    if (bytes.buffer === this.#taken?.buffer) this.#taken = undefined
    this.#chunks.unshift(bytes)
  }

  #recycle(): void {
    const buffer = this.#taken?.buffer
    if (buffer?.byteLength !== BUFFER || buffer === abyss?.buffer || this.#free.length >= KEPT) return
    this.#free.push(Buffer.from(buffer))
  }
}
