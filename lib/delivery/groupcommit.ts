// Group commit: what is ready is committed together, and while one group is written the next one gathers: the slower the
// disk, the larger the groups, and the fewer its syncs. Guarantee: one group is written at a time, and while it is noted
// and placed one other; in the order in which their members were ready. Whether an error ends it says its owner.

/** Members of a group, at most; and how many groups are under way at once. */
const BATCH = 512
const GROUPS = 2

export interface GroupCommitOptions<T> {
  /** Calls `written` when what it does next goes well beside the writing of another group. */
  commit: (batch: T[], written: () => void) => Promise<void>
  /** Something else has failed: nothing more is to be committed. */
  isHalted: () => boolean
  /** A commit failed. */
  failed: (error: unknown) => void
  /** Nothing is being committed any more, or something else. */
  progress: () => void
}

export class GroupCommit<T> {
  readonly #options: GroupCommitOptions<T>
  readonly #committing = new Set<Promise<void>>()
  #ready: T[] = []
  #writing = false

  constructor(options: GroupCommitOptions<T>) {
    this.#options = options
  }

  get busy(): boolean {
    return this.#committing.size > 0
  }

  /** Resolves, and never rejects, when what is being committed now is. */
  async idle(): Promise<void> {
    await Promise.all(this.#committing)
  }

  add(item: T): void {
    this.#ready.push(item)
    this.#settle()
  }

  #settle(): void {
    const { commit, isHalted, failed, progress } = this.#options
    if (this.#writing || this.#committing.size === GROUPS || this.#ready.length === 0 || isHalted()) return
    this.#writing = true
    let writing = true
    const written = (): void => {
      if (writing) writing = this.#writing = false
      this.#settle()
    }
    const committing = commit(this.#ready.splice(0, BATCH), written)
      .catch(failed)
      .finally(() => {
        this.#committing.delete(committing)
        written()
        progress()
      })
    this.#committing.add(committing)
  }
}
