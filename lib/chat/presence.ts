// Who is there now, and whether a listener says so: known from the listener beside a conversation, whose word is taken
// for it, and for as long as that runs. Guarantee: nobody is there of whom no listener that still runs has said it.

export class Presence {
  readonly #online = new Set<string>()
  /** The listener of this home: another process, or this one (`own`); none. */
  listener: 'listener' | 'own' | undefined

  isOnline(key: string): boolean {
    return this.#online.has(key)
  }

  /** A contact (KEY) came or went. */
  note(key: string, up: boolean): void {
    if (up) this.#online.add(key)
    else this.#online.delete(key)
  }

  /** Nobody tells any more. Returns who was there (KEYs). */
  clear(): string[] {
    const gone = [...this.#online]
    this.#online.clear()
    return gone
  }
}
