// What can go wrong, and how a process says so. A Failure is for the person who typed the command: one
// lower-case line, an exit code, a runnable hint. A Malformed is what every parser of foreign bytes throws.
// Anything else that is thrown is a bug and ends as exit 70 with a stack.

/** Exit codes, the same in every command: p2p(7), after sysexits(3). */
export const EX = {
  OK: 0,
  NEGATIVE: 1,
  USAGE: 64,
  DATA: 65,
  NO_INPUT: 66,
  NO_CONTACT: 67,
  UNREACHABLE: 69,
  SOFTWARE: 70,
  CANNOT_CREATE: 73,
  IO: 74,
  TEMPORARY: 75,
  REFUSED: 76,
  NOT_PERMITTED: 77,
  CONFIG: 78,
} as const

export type ExitCode = (typeof EX)[keyof typeof EX]

/** An outcome the user should read. `hint` is a runnable command; `message` names the thing, lower case, no full stop. */
export class Failure extends Error {
  readonly exit: ExitCode
  readonly hint: string | undefined

  constructor(exit: ExitCode, message: string, hint?: string) {
    super(message)
    this.name = 'Failure'
    this.exit = exit
    this.hint = hint
  }
}

/** Bytes or text that do not follow their format. Deliberately unspecific towards peers; the text serves tests and -v. */
export class Malformed extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Malformed'
  }
}

/** True if `error` is a system error with one of these codes, e.g. isCode(error, 'ENOENT'). */
export function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '')
}

/** The order in which several outcomes of one call are judged (p2p(7), exit status): the first that occurred wins. */
const SEVERITY: readonly ExitCode[] = [70, 74, 77, 78, 76, 67, 65, 66, 75]

/** The exit code of a call in which all of `codes` occurred; 0 if none did. */
export function worst(codes: Iterable<ExitCode>): ExitCode {
  const seen = new Set(codes)
  for (const code of SEVERITY) if (seen.has(code)) return code
  for (const code of seen) if (code !== EX.OK) return code
  return EX.OK
}

const WHY: Readonly<Record<string, [ExitCode, string]>> = {
  EACCES: [EX.NOT_PERMITTED, 'permission denied'],
  EPERM: [EX.NOT_PERMITTED, 'operation not permitted'],
  EROFS: [EX.CANNOT_CREATE, 'read-only file system'],
  ENOSPC: [EX.IO, 'no space left on the device'],
  EDQUOT: [EX.IO, 'disk quota exceeded'],
  EIO: [EX.IO, 'input/output error'],
  EMFILE: [EX.IO, 'too many open files'],
  ENFILE: [EX.IO, 'too many open files'],
  EFBIG: [EX.IO, 'file too large'],
  ENOENT: [EX.IO, 'no such file or directory'],
  ENOTDIR: [EX.IO, 'not a directory'],
  EISDIR: [EX.IO, 'is a directory'],
  ELOOP: [EX.IO, 'too many symbolic links'],
  ENAMETOOLONG: [EX.IO, 'name too long'],
}

/** A system error as a Failure: full disk, EIO and the like are 74, permission is 77, read-only is 73. */
export function ioFailure(error: unknown, doing: string): Failure {
  if (error instanceof Failure) return error
  const code = codeOf(error)
  if (code === '') throw error
  return new Failure(WHY[code]?.[0] ?? EX.IO, `${doing}: ${WHY[code]?.[1] ?? code}`)
}

/** An input file that cannot be read, whatever the system says of it: 66. */
export function unreadable(error: unknown, path: string): Failure {
  const code = codeOf(error)
  if (code === '') throw error
  return new Failure(EX.NO_INPUT, `cannot read ${path}: ${WHY[code]?.[1] ?? code}`)
}

const codeOf = (error: unknown): string => (error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? '') : '')
