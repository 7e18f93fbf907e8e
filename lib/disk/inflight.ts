// The messages that are arriving in this process now: sessions with one contact are offered the same ones. Guarantee:
// nobody else works on a message between take() and what take() returned, and who waits for that is told. It trusts
// whoever took one to give it back.

export class InFlight {
  /** Each promise ends with the arrival. */
  readonly #active = new Map<string, Promise<void>>()

  has(key: string, id: string): boolean {
    return this.#active.has(`${key}/${id}`)
  }

  /** Ends when nobody works on this id any more; undefined if nobody does. */
  end(key: string, id: string): Promise<void> | undefined {
    return this.#active.get(`${key}/${id}`)
  }

  /** The result gives it back, once. Undefined if it is taken. */
  take(key: string, id: string): (() => void) | undefined {
    const name = `${key}/${id}`
    if (this.#active.has(name)) return undefined
    let release = (): void => undefined
    this.#active.set(name, new Promise((resolve) => (release = resolve)))
    let freed = false
    return () => {
      if (freed) return
      freed = true
      this.#active.delete(name)
      release()
    }
  }
}
