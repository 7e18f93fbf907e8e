// What a function of text gives, found out once for each text. What it throws is not kept.

/** `copy`: of a result that its caller may change. */
export function memo<Rest extends unknown[], R>(
  work: (text: string, ...rest: Rest) => R,
  copy: (result: R) => R = (result) => result,
): (text: string, ...rest: Rest) => R {
  const known = new Map<string, R>()
  return (text, ...rest) => {
    let result = known.get(text)
    if (result === undefined) known.set(text, (result = work(text, ...rest)))
    return copy(result)
  }
}
