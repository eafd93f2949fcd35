// What all libraries hold: entities with five fields, the same as in `src/documents.rs`.

export const NOW_MS = 1_700_000_000_000
const TAGS = ["home", "work", "garden", "errand", "music", "travel", "health", "family"]

export function entity(number) {
  return {
    id: idOf(number),
    fields: {
      title: `Task number ${number} of the list`,
      done: number % 3 === 0,
      rank: (number * 7919) % 10_007,
      due: NOW_MS + number * 60_000,
      tag: TAGS[number % TAGS.length],
    },
  }
}

export function idOf(number) {
  return `task/${String(number).padStart(5, "0")}`
}

/** Which entity is written as the `nth`. */
export function placeOf(nth, entities) {
  return (nth * 7) % entities
}

export function titleAfter(nth) {
  return `Changed for the ${nth}th time`
}

/** Reads every field of every entity, and throws where one is not what was written. */
export function check(found, entities) {
  for (const { id, fields } of entities) {
    const entity = found(id)
    const { title, done, rank, due, tag } = fields
    // Texts may come as objects of the library's own.
    const same =
      String(entity?.title) === title &&
      entity.done === done &&
      entity.rank === rank &&
      entity.due === due &&
      String(entity.tag) === tag
    if (!same) throw new Error(`${id} is ${JSON.stringify(entity)}`)
  }
}
