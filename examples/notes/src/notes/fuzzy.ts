/** How well a name fits what was typed: undefined if it does not; the greater the better. */
export function score(query: string, name: string): number | undefined {
  const [wanted, given] = [query.toLowerCase(), name.toLowerCase()]
  if (wanted === "") return 0
  const at = given.indexOf(wanted)
  if (at === 0) return 1000 - name.length * 0.1
  if (at > 0) return (isStart(given, at) ? 800 : 600) - at - name.length * 0.1
  return scattered(wanted, given)
}

/** The names that fit, the best first. */
export function rank<T>(query: string, items: Iterable<T>, nameOf: (item: T) => string, limit: number): T[] {
  const fitting: { item: T; points: number }[] = []
  for (const item of items) {
    const points = score(query.trim(), nameOf(item))
    if (points !== undefined) fitting.push({ item, points })
  }
  return fitting
    .sort((a, b) => b.points - a.points)
    .slice(0, limit)
    .map(({ item }) => item)
}

/** Letters that are there in this order: `dn` fits `Daily note`. Beginnings of words count most, gaps cost. */
function scattered(wanted: string, given: string): number | undefined {
  let points = 300
  let last = -1
  for (const letter of wanted) {
    if (letter === " ") continue
    const at = given.indexOf(letter, last + 1)
    if (at < 0) return undefined
    points += isStart(given, at) ? 10 : at === last + 1 ? 5 : -Math.min(at - last, 10)
    last = at
  }
  return points - given.length * 0.1
}

const isStart = (text: string, at: number) => at === 0 || /[\s/_.-]/.test(text[at - 1] as string)
