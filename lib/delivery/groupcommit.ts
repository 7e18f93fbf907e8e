// Group commit: what is ready is committed together, and while one group is being committed the next one gathers: the
// slower the disk, the larger the groups, and the fewer its syncs. Guarantee: one group at a time, in the order in which
// its members were ready; whether an error ends it says its owner.

/** Members of a group, at most. */
const BATCH = 512

export interface GroupCommitOptions<T> {
  commit: (batch: T[]) => Promise<void>
  /** Something else has failed: nothing more is to be committed. */
  isHalted: () => boolean
  /** A commit failed. */
  failed: (error: unknown) => void
  /** Nothing is being committed any more, or something else. */
  progress: () => void
}

export class GroupCommit<T> {
  readonly #options: GroupCommitOptions<T>
  #ready: T[] = []
  #committing: Promise<void> | undefined

  constructor(options: GroupCommitOptions<T>) {
    this.#options = options
  }

  /** Resolves, and never rejects, when what is being committed now is; undefined if nothing is. */
  get committing(): Promise<void> | undefined {
    return this.#committing
  }

  add(item: T): void {
    this.#ready.push(item)
    this.#settle()
  }

  #settle(): void {
    const { isHalted, failed, progress } = this.#options
    if (this.#committing !== undefined || this.#ready.length === 0 || isHalted()) return
    this.#committing = this.#commitAll()
      .catch(failed)
      .finally(() => {
        this.#committing = undefined
        this.#settle()
        progress()
      })
  }

  async #commitAll(): Promise<void> {
    while (this.#ready.length > 0) await this.#options.commit(this.#ready.splice(0, BATCH))
  }
}
